import type { Request, RequestHandler } from 'express';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import type { ApiKey, Principal } from '../../accounts/api-key.ts';
import { isOwner, sessionOf } from './signed-in.ts';

/** Whose figures a page shows: an owner's all keys or the one asked for, anybody else's own. */
export interface PageScope {
  readonly accountId: string;
  readonly keyId: string | null;
}

/** Behind `requireSession`: lets the handlers of reports take their account's turn. */
export const asPrincipal: RequestHandler = (_req, res, next) => {
  (res.locals as { principal?: Principal }).principal = { key: sessionOf(res).key };
  next();
};

/** The scope of a page that an owner may narrow by `?key=`. Throws `key_not_found` for a key of another account. */
export async function scopeOf(req: Request, apiKeys: Pick<ApiKeys, 'find'>, keyId: string | undefined): Promise<PageScope> {
  const session = sessionOf(req.res as NonNullable<Request['res']>);
  const { accountId } = session;
  if (!isOwner(session)) return { accountId, keyId: session.key.id };
  return { accountId, keyId: keyId === undefined ? null : (await apiKeys.find(accountId, keyId)).id };
}

/** How a key is called on pages. */
export function nameOf({ label, prefix }: Pick<ApiKey, 'label' | 'prefix'>): string {
  return label ?? `${prefix}…`;
}
