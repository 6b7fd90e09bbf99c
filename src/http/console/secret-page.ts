import { createHash, randomUUID } from 'node:crypto';
import type { Request, Response } from 'express';
import type { IssuedKey } from '../../accounts/api-keys.ts';
import type { Config } from '../../config/config.ts';
import type { Pages } from '../pages/pages.ts';
import { textCode } from '../pages/text-code.ts';
import { originOf } from '../server/origin.ts';
import { snippets } from './snippets.ts';

export interface SecretPageDeps {
  pages: Pages;
  config: { PUBLIC_URL?: Config['PUBLIC_URL'] };
}

/** Where a key came from, for the words around it. */
export interface Shown {
  readonly how: 'made' | 'rotated' | 'successor';
  /** What "Done" leads to. */
  readonly done: string;
  /** Whether the reader may make a key for a phone by itself. */
  readonly owner: boolean;
  /** Whether a wallet was linked with the key. */
  readonly linked?: boolean;
}

/**
 * The only page that shows a key, straight as the answer to the form that made it: kept by nobody, and with the key in no address. A reload
 * sends the form again, which finds the key made and shows none.
 */
export async function sendSecret(
  { pages, config }: SecretPageDeps,
  req: Request,
  res: Response,
  { key, secret }: IssuedKey,
  shown: Shown,
): Promise<void> {
  const origin = originOf(req, config.PUBLIC_URL);
  const baseUrl = `${origin}/v1`;
  const [textSvg, appSvg] = await Promise.all([textCode(`${baseUrl}\n${secret}`), textCode(appPayload(baseUrl, secret, key.label))]);
  const data = { linked: false, ...shown, key, secret, baseUrl, snippets: snippets(origin, secret), textSvg, appSvg };
  pages.send(res, 'console/secret', { title: TITLES[shown.how], script: 'secret.js' }, data);
}

/** Answers the same form sent once more: the key is there, and nobody knows its secret any more. */
export function sendAlreadyShown({ pages }: Pick<SecretPageDeps, 'pages'>, res: Response, keyId: string | null): void {
  pages.send(res, 'console/already-shown', { title: 'This key was already shown' }, { keyId }, 409);
}

/** For a form that must not make a second key: named anew each time that the form is shown. */
export function newNonce(): string {
  return randomUUID();
}

/** The id of the key that a form with this nonce makes in an account: the same one whenever that is sent. */
export function keyIdOfNonce(accountId: string, nonce: string): string {
  const digest = createHash('sha256').update(`${accountId} ${nonce}`).digest('hex');
  return [digest.slice(0, 8), digest.slice(8, 12), `8${digest.slice(13, 16)}`, `8${digest.slice(17, 20)}`, digest.slice(20, 32)].join('-');
}

const TITLES = { made: 'Your key', rotated: 'The new secret', successor: 'The successor' } as const;

/** What apps for phones read that scan `ai-provider:v1:`: JSON in base64. */
function appPayload(baseUrl: string, apiKey: string, label: string | null): string {
  const provider = { type: 'openai', name: label === null ? 'Pura' : `Pura (${label})`, apiKey, baseUrl };
  return `ai-provider:v1:${Buffer.from(JSON.stringify(provider)).toString('base64')}`;
}
