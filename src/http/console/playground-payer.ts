import type { RequestHandler } from 'express';
import type { ApiKey } from '../../accounts/api-key.ts';
import { KeyMadeError, type ApiKeys } from '../../accounts/api-keys.ts';
import { Sessions, type Session } from '../../accounts/sessions.ts';
import { picoUsdFromUsd } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { KeyMaking } from '../api/key-making.ts';
import type { Payers } from '../payment/payers.ts';
import { refuseOtherForms, type OwnPageConfig } from '../server/own-site.ts';
import { keyIdOfNonce } from './secret-page.ts';
import { sessionTokenOf } from './session-cookie.ts';

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

/**
 * Lets a request of the playground pay by the key of its session, within that key's limits. Throws `not_permitted` for requests of other
 * sites, and `invalid_api_key` where nobody is signed in.
 */
export function playgroundPayer(deps: PlaygroundPayerDeps): RequestHandler {
  const sessions = new Sessions(deps.pool);
  return async (req, _res, next) => {
    refuseOtherForms(req, deps.config);
    const session = await sessions.find(sessionTokenOf(req, deps.config));
    if (typeof session === 'string') throw new GatewayError('invalid_api_key', { message: 'You are signed out. Sign in again.' });
    deps.payers.standFor(req, await playgroundKey(deps, session));
    next();
  };
}

/** The key by which a session asks: its own, or of a linked wallet one of $1 a day, which is made on first use. */
export async function playgroundKey(
  { apiKeys, making }: Pick<PlaygroundPayerDeps, 'apiKeys' | 'making'>,
  session: Session,
): Promise<ApiKey> {
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
