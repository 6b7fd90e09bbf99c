import { randomBytes } from 'node:crypto';
import type { Lent } from '../accounts/api-key.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import { deriveKey } from '../secrets.ts';
import { isGenuine, mintMacaroon, parseMacaroon } from './macaroon.ts';

/** What a payment stands for: one key row, whose limits it runs under and with which it dies. */
export interface Grant {
  readonly keyId: string;
  /** The key's prefix, which changes with its secret: a rotated key's tokens are dead too. */
  readonly keyPrefix: string;
  /** Days without use of the key after which it ends; null: never. */
  readonly idleDays: number | null;
  /** What a holder restricted it to before lending it out; absent where nobody did. */
  readonly lent?: Lent | undefined;
}

/** What a genuine credential says: which payment it is about, and what that payment stands for. */
export interface Claim {
  readonly paymentHash: Buffer;
  readonly grant: Grant;
}

const HASH_BYTES = 32;
/** The caveat after which a token has a holder's only. */
const LAST_MINTED = 'key=';
const TOKEN_ID_BYTES = 32;
/** `u16be 0 | payment hash | token id`, the token id beginning with the id of the root secret. */
const IDENTIFIER_BYTES = 2 + HASH_BYTES + TOKEN_ID_BYTES;
const LONGEST_TOKEN = 4096;
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/**
 * The token of an L402 challenge (https://github.com/lightninglabs/L402/blob/master/protocol-specification.md): a macaroon in
 * base64 that names the payment and, in caveats, the key row. Worthless until that payment is made.
 */
export function mintToken(roots: readonly RootSecret[], { paymentHash, grant }: Claim): string {
  const [root] = roots;
  if (!root) throw new RangeError('no root secret');
  const rootKey = deriveKey(root, 'macaroon');
  for (;;) {
    const tokenId = Buffer.concat([Buffer.from([Number(root.id)]), randomBytes(TOKEN_ID_BYTES - 1)]);
    const token = mintMacaroon(rootKey, Buffer.concat([Buffer.alloc(2), paymentHash, tokenId]), caveatsOf(grant)).toString('base64');
    // Deployed clients cut the scheme's name out of the challenge wherever they find it, the middle of a token included.
    if (!/L402|LSAT/.test(token)) return token;
  }
}

/** What a token claims; null where it is not ours, was tampered with, or holds a caveat that is unknown or not met. */
export function readToken(roots: readonly RootSecret[], token: string): Claim | null {
  if (token.length > LONGEST_TOKEN || !BASE64.test(token)) return null;
  const macaroon = parseMacaroon(Buffer.from(token, 'base64'));
  if (!macaroon || macaroon.identifier.length !== IDENTIFIER_BYTES || macaroon.identifier.readUInt16BE() !== 0) return null;
  const root = roots.find(({ id }) => Number(id) === macaroon.identifier[2 + HASH_BYTES]);
  if (!root || !isGenuine(macaroon, deriveKey(root, 'macaroon'))) return null;
  const grant = grantOf(macaroon.caveats, mintedCount(macaroon.caveats));
  return grant && { paymentHash: macaroon.identifier.subarray(2, 2 + HASH_BYTES), grant };
}

function caveatsOf({ keyId, keyPrefix, idleDays, lent }: Grant): string[] {
  return [...(idleDays === null ? [] : [`idle_days=${idleDays}`]), `prefix=${keyPrefix}`, LAST_MINTED + keyId, ...(lent?.caveats ?? [])];
}

/**
 * How many of the caveats the gateway itself put there; those after them are a holder's. Tokens of the version before began with the key,
 * and days that follow there are taken for the gateway's, so that nobody is shut out who paid for such a token.
 */
function mintedCount(caveats: readonly string[]): number {
  const last = caveats.findIndex((caveat) => caveat.startsWith(LAST_MINTED));
  return last > 0 ? last + 1 : caveats[2]?.startsWith('idle_days=') ? 3 : 2;
}

/**
 * Every caveat must hold, so that one which a holder adds can only restrict: `key` and `prefix` must be the same wherever they stand,
 * the fewest `idle_days` count, and `expires_at` (seconds since 1970) is for holders who lend a token out.
 */
function grantOf(caveats: readonly string[], minted: number): Grant | null {
  let until = Infinity;
  let keyId: string | undefined;
  let keyPrefix: string | undefined;
  let idleDays: number | null = null;
  for (const caveat of caveats) {
    const [, name, value] = /^(\w+)=(.+)$/.exec(caveat) ?? [];
    if (value === undefined) return null;
    if (name === 'key' && value === (keyId ?? value)) keyId = value;
    else if (name === 'prefix' && value === (keyPrefix ?? value)) keyPrefix = value;
    else if (name === 'idle_days' && isCount(value)) idleDays = Math.min(idleDays ?? Infinity, Number(value));
    else if (name === 'expires_at' && isCount(value)) until = Math.min(until, Number(value) * 1000);
    else return null;
  }
  if (keyId === undefined || keyPrefix === undefined || until <= Date.now()) return null;
  const added = caveats.slice(minted);
  return { keyId, keyPrefix, idleDays, ...(added.length > 0 && { lent: { caveats: added, until } }) };
}

function isCount(value: string): boolean {
  return /^\d{1,12}$/.test(value);
}
