import type { Request, Response } from 'express';
import type { ApiKey } from '../accounts/api-key.ts';
import type { ApiKeys } from '../accounts/api-keys.ts';
import { GatewayError } from '../errors.ts';
import { principalOf } from './authenticate.ts';

/** Whose figures a report shows. */
export interface ReportScope {
  readonly accountId: string;
  /** Null: all keys of the account. */
  readonly keyId: string | null;
  /** The key whose budget is meant: the one named, else the caller's. */
  readonly key: ApiKey;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Owners see the whole account and may narrow it by `?keyId=`; any other key sees its own figures.
 * Throws `not_permitted` where another key's are asked for without being an owner, and `key_not_found`.
 */
export async function reportScope(req: Request, res: Response, apiKeys: Pick<ApiKeys, 'find'>): Promise<ReportScope> {
  const { key } = principalOf(res);
  const { accountId } = key;
  const { keyId } = req.query;
  if (keyId === undefined) return { accountId, keyId: key.role === 'owner' ? null : key.id, key };
  if (keyId === key.id) return { accountId, keyId: key.id, key };
  if (key.role !== 'owner') throw new GatewayError('not_permitted', { message: 'Only an owner key may see the figures of other keys.' });
  if (typeof keyId !== 'string' || !UUID.test(keyId)) throw new GatewayError('key_not_found');
  return { accountId, keyId, key: await apiKeys.find(accountId, keyId) };
}
