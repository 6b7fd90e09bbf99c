import type { RequestHandler } from 'express';
import type { ApiKey } from '../../accounts/api-key.ts';
import { KeyMadeError, type ApiKeys } from '../../accounts/api-keys.ts';
import { isProven, Sessions, type Session } from '../../accounts/sessions.ts';
import { picoUsdFromUsd } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { keyId } from '../api/key-id.ts';
import type { KeyMaking } from '../api/key-making.ts';
import type { Payers } from '../payment/payers.ts';
import { refuseOtherForms, type OwnPageConfig } from '../server/own-site.ts';
import { keyIdOfNonce } from './secret-page.ts';
import { sessionTokenOf } from './session-cookie.ts';
import { isOwner } from './signed-in.ts';

export interface PlaygroundPayerDeps {
  pool: Pool;
  apiKeys: ApiKeys;
  making: KeyMaking;
  payers: Pick<Payers, 'standFor'>;
  config: OwnPageConfig;
}

/** Of the key that a linked wallet asks by: it has none of its own. */
const LABEL = 'Playground';
const DAILY_BUDGET = picoUsdFromUsd(1);

/** As many as an account may have alive at once. */
const MOST_KEYS = 100;

/**
 * Lets a request of the playground pay by the key that `?key=` names, within that key's limits. Throws `not_permitted` for requests of other
 * sites, `invalid_api_key` where nobody is signed in, and what `playgroundKey` throws.
 */
export function playgroundPayer(deps: PlaygroundPayerDeps): RequestHandler {
  const sessions = new Sessions(deps.pool);
  return async (req, _res, next) => {
    refuseOtherForms(req, deps.config);
    const session = await sessions.find(sessionTokenOf(req, deps.config));
    if (typeof session === 'string') throw new GatewayError('invalid_api_key', { message: 'You are signed out. Sign in again.' });
    deps.payers.standFor(req, await playgroundKey(deps, session, req.query['key']));
    next();
  };
}

/** The live keys that a session may choose from: an owner from all of the account; none where a wallet's sign-in is all that was shown. */
export async function playgroundKeys({ apiKeys }: Pick<PlaygroundPayerDeps, 'apiKeys'>, session: Session): Promise<ApiKey[]> {
  if (!isProven(session)) return [];
  return isOwner(session) ? apiKeys.list(session.accountId, { state: 'live', limit: MOST_KEYS }) : [session.key];
}

/**
 * The key by which a session asks: the one that is chosen by its id, where the session may use it; else the session's own, or of a linked
 * wallet one of $1 a day, which is made on first use. Throws `key_not_found` for a key that is not the account's or not alive, and
 * `not_permitted` for another key than the session's own, also where a wallet's sign-in is all that was shown.
 */
export async function playgroundKey(
  deps: Pick<PlaygroundPayerDeps, 'apiKeys' | 'making'>,
  session: Session,
  chosen: unknown = '',
): Promise<ApiKey> {
  if (chosen === '') return usualKey(deps, session);
  const id = keyId(chosen);
  if (id === session.key.id && session.how === 'key') return session.key;
  if (!isOwner(session)) throw new GatewayError('not_permitted', { message: 'You are signed in with a key that may use itself alone.' });
  if (!isProven(session)) {
    const message =
      'A wallet’s sign-in alone asks by its own key of $1 a day. To use another, confirm once: make or change a key under Keys.';
    throw new GatewayError('not_permitted', { message });
  }
  const key = await deps.apiKeys.find(session.accountId, id);
  if (!isLive(key)) throw new GatewayError('key_not_found', { message: 'This key was revoked or has expired. Choose another one.' });
  return key;
}

function isLive({ revokedAt, expiresAt }: ApiKey): boolean {
  return revokedAt === null && (expiresAt === null || expiresAt.getTime() > Date.now());
}

async function usualKey({ apiKeys, making }: Pick<PlaygroundPayerDeps, 'apiKeys' | 'making'>, session: Session): Promise<ApiKey> {
  const { accountId, how, key: acting } = session;
  if (how === 'key') return acting;
  const found = async (): Promise<ApiKey | undefined> => {
    const keys = await apiKeys.list(accountId, { q: LABEL, state: 'live', limit: 10 });
    return keys.find(({ label, role }) => label === LABEL && role === 'inference');
  };
  const known = await found();
  if (known) return known;
  const make = async (id?: string): Promise<ApiKey> => {
    const settings = { label: LABEL, dailyBudgetPicoUsd: DAILY_BUDGET };
    return (await making.newKey(making.countChange(acting), 'inference', settings, id)).key;
  };
  try {
    // Of requests that come at once one makes it.
    return await make(keyIdOfNonce(accountId, LABEL));
  } catch (error) {
    if (!(error instanceof KeyMadeError)) throw error;
    return (await found()) ?? make();
  }
}
