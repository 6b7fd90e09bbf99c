import type { Request, Response } from 'express';
import { z } from 'zod';
import type { ApiKey } from '../../accounts/api-key.ts';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import { GatewayError } from '../../errors.ts';
import { principalOf } from '../payment/authenticate.ts';
import { keyId as keyIdFrom } from './key-id.ts';

/** Whose figures are asked for. */
export const keyIdQuery = z.object({
  keyId: z.uuid().optional().meta({ description: 'One key of the account; without it, all that the caller may see.' }),
});

/** Whose figures a report shows. */
export interface ReportScope {
  readonly accountId: string;
  /** Null: all keys of the account. */
  readonly keyId: string | null;
  /** The key whose budget is meant: the one named, else the caller's. */
  readonly key: ApiKey;
}

/** Whose figures a request with `?keyId=` asks for: as `scopeOf` decides. */
export async function reportScope(req: Request, res: Response, apiKeys: Pick<ApiKeys, 'find'>): Promise<ReportScope> {
  return scopeOf(principalOf(res).key, req.query['keyId'], apiKeys);
}

/**
 * Owners see the whole account and may narrow it to the key `asked` for; any other key sees its own figures.
 * Throws `not_permitted` where another key's are asked for without being an owner, and `key_not_found`.
 */
export async function scopeOf(key: ApiKey, asked: unknown, apiKeys: Pick<ApiKeys, 'find'>): Promise<ReportScope> {
  const { accountId } = key;
  if (asked === undefined) return { accountId, keyId: key.role === 'owner' ? null : key.id, key };
  if (asked === key.id) return { accountId, keyId: key.id, key };
  if (key.role !== 'owner') throw new GatewayError('not_permitted', { message: 'Only an owner key may see the figures of other keys.' });
  const other = await apiKeys.find(accountId, keyIdFrom(asked));
  return { accountId, keyId: other.id, key: other };
}
