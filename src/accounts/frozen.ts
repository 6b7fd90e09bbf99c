import { GatewayError } from '../errors.ts';
import type { ApiKey } from './api-key.ts';

const FROZEN = 'The operator has paused this account. Your balance is kept.';

/** What a frozen account asks for is refused: requests, keys, invoices, withdrawals. */
export class AccountFrozenError extends GatewayError {
  /** @param contact where the operator can be reached. */
  constructor(contact?: string) {
    super('not_permitted', { message: contact === undefined ? FROZEN : `${FROZEN} Contact: ${contact}` });
  }
}

/** Whether the key's account was frozen when the key was read (migrations/0035). */
export function isFrozen({ version }: Pick<ApiKey, 'version'>): boolean {
  return version < 0;
}
