import type { Request } from 'express';
import type { ApiKey, KeyRole } from '../../accounts/api-key.ts';
import type { ApiKeys, IssuedKey, KeySettings } from '../../accounts/api-keys.ts';
import type { Config } from '../../config/config.ts';
import type { PoolClient } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { WindowLimit } from '../../window-limit.ts';
import { sharesOf } from '../server/client-address.ts';
import { clientOf } from '../server/forwarded.ts';

export interface KeyMakingDeps {
  apiKeys: ApiKeys;
  config: Pick<Config, 'DAILY_BUDGET_USD' | 'KEYS_PER_IP_PER_HOUR'>;
}

const HOUR_MS = 3_600_000;
/** Keys that an account may make and rotate, and as many that it may revoke: each leaves a row, or is told to every gateway. */
const KEY_CHANGES_AN_HOUR = 500;

/** Makes, rotates and revokes keys within the limits of an hour: one for all ways in which it is asked for. */
export class KeyMaking {
  readonly #apiKeys: ApiKeys;
  readonly #config: KeyMakingDeps['config'];
  readonly #newAccounts: WindowLimit;
  readonly #changes = new WindowLimit({ points: KEY_CHANGES_AN_HOUR, windowMs: HOUR_MS });
  /** By themselves: whatever makes too many keys must not keep an owner from ending one that has leaked. */
  readonly #revocations = new WindowLimit({ points: KEY_CHANGES_AN_HOUR, windowMs: HOUR_MS });

  constructor({ apiKeys, config }: KeyMakingDeps) {
    this.#apiKeys = apiKeys;
    this.#config = config;
    this.#newAccounts = new WindowLimit({ points: config.KEYS_PER_IP_PER_HOUR, windowMs: HOUR_MS });
  }

  /** Throws `rate_limit_exceeded` where the sender may have no other account this hour. Takes nothing. */
  refuseNewAccount(req: Request): void {
    this.#refuseNewAccount(this.#newAccounts.secondsUntilFree(sharesOf(clientOf(req))));
  }

  /**
   * A new account and its owner key, and what `more` adds in the same transaction. Throws `rate_limit_exceeded`, and what `more` throws; an
   * account that could not be made does not count.
   */
  async newAccount(
    req: Request,
    given: Partial<KeySettings>,
    more?: (client: PoolClient, accountId: string) => Promise<void>,
  ): Promise<IssuedKey> {
    const shares = sharesOf(clientOf(req));
    this.#refuseNewAccount(this.#newAccounts.take(shares));
    try {
      return await this.#apiKeys.createAccount(this.#completed(given), more);
    } catch (error) {
      this.#newAccounts.giveBack(shares);
      throw error;
    }
  }

  /** Counts what makes or rotates a key of the owner's account. Throws `rate_limit_exceeded` above the hour's limit. */
  countChange(owner: ApiKey): ApiKey {
    return counted(this.#changes, owner, 'made or rotated');
  }

  /** The same for what revokes one. */
  countRevocation(owner: ApiKey): ApiKey {
    return counted(this.#revocations, owner, 'revoked');
  }

  /** Another key of the owner's account, which the caller has counted. `id`: of a key that must not be made twice. */
  newKey(owner: ApiKey, role: KeyRole, given: Partial<KeySettings>, id?: string): Promise<IssuedKey> {
    return this.#apiKeys.create(owner, role, this.#completed(given), id);
  }

  #completed(given: Partial<KeySettings>): KeySettings {
    return {
      label: null,
      dailyBudgetPicoUsd: this.#config.DAILY_BUDGET_USD,
      rateLimitRpm: null,
      rateLimitTpm: null,
      allowedModels: null,
      expiresAt: null,
      ...given,
    };
  }

  #refuseNewAccount(retryAfter: number): void {
    if (retryAfter === 0) return;
    const message = `Rate limit exceeded: ${this.#newAccounts.points} new accounts an hour from one address`;
    throw new GatewayError('rate_limit_exceeded', { message, retryAfter, limit: 'address' });
  }
}

function counted(limit: WindowLimit, owner: ApiKey, done: string): ApiKey {
  const retryAfter = limit.take([{ name: owner.accountId, times: 1 }]);
  if (retryAfter === 0) return owner;
  const message = `Rate limit exceeded: ${KEY_CHANGES_AN_HOUR} keys ${done} an hour`;
  throw new GatewayError('rate_limit_exceeded', { message, retryAfter });
}
