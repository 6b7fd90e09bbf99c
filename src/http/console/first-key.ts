import type { PoolClient } from '../../db/postgres.ts';
import type { Request, Response } from 'express';
import type { KeySettings } from '../../accounts/api-keys.ts';
import type { Sessions } from '../../accounts/sessions.ts';
import { GatewayError } from '../../errors.ts';
import type { KeyMaking } from '../api/key-making.ts';
import type { CookieConfig } from '../pages/cookies.ts';
import { span } from '../pages/format.ts';
import { networkOf } from '../server/sender-network.ts';
import { sendSecret, type SecretPageDeps } from './secret-page.ts';
import { sessionTokenOf, setSessionCookie } from './session-cookie.ts';

export interface FirstKeyDeps extends SecretPageDeps {
  making: Pick<KeyMaking, 'newAccount'>;
  sessions: Pick<Sessions, 'find' | 'start'>;
  config: SecretPageDeps['config'] & CookieConfig;
}

/** What is made beside the key. */
export interface FirstKey {
  readonly given: Partial<KeySettings>;
  /** Links a wallet to the account, in the transaction that makes both. */
  readonly link?: (client: PoolClient, accountId: string) => Promise<void>;
}

/**
 * Whether the browser is signed in, and was told so: it has its key, so that a reload, which sends the form that makes an account again,
 * makes no second one.
 */
export async function toldOfKey({ pages, sessions, config }: FirstKeyDeps, req: Request, res: Response): Promise<boolean> {
  const session = await sessions.find(sessionTokenOf(req, config));
  if (typeof session === 'string') return false;
  const data = { owner: session.key.role === 'owner', keyId: session.how === 'key' ? session.key.id : null };
  pages.send(res, 'console/signed-in-already', { title: 'You have a key' }, data, 409);
  return true;
}

/** A new account and its owner key, a session with it, and the page that shows it. Throws what `KeyMaking.newAccount` and `link` throw. */
export async function sendFirstKey(deps: FirstKeyDeps, req: Request, res: Response, { given, link }: FirstKey): Promise<void> {
  const { making, sessions, config } = deps;
  const issued = await making.newAccount(req, given, link);
  setSessionCookie(req, res, config, await sessions.start(issued.key, networkOf(req)));
  await sendSecret(deps, req, res, issued, { how: 'made', done: '/console', owner: true, linked: link !== undefined });
}

/** Why no account was made, in a sentence, with the time to wait: also in the answer's header. Throws an error again that is not the form's. */
export function whyNoKey(res: Response, error: unknown): { text: string; status: number } {
  if (!(error instanceof GatewayError) || res.headersSent) throw error;
  const { retryAfter } = error.detail;
  if (retryAfter !== undefined) res.set('Retry-After', String(retryAfter));
  const text = error.code === 'rate_limit_exceeded' ? `${error.message}. Wait ${span((retryAfter ?? 1) * 1000)}.` : error.message;
  return { text, status: error.status };
}
