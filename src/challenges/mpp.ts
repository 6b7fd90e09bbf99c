import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { RootSecret } from '../config/secret-keys.ts';
import { deriveKey } from '../secrets.ts';
import type { Claim, Grant } from './payment-token.ts';
import type { Network } from '../lightning/wallet.ts';

/** The invoice of a challenge. */
export interface MppInvoice {
  bolt11: string;
  paymentHash: Buffer;
  amountSat: number;
  expiresAt: Date;
}

/** A credential whose challenge was ours. */
export interface MppCredential {
  challengeId: string;
  claim: Claim;
  preimage: string;
}

interface Challenge {
  realm: string;
  method: string;
  intent: string;
  request: string;
  expires?: string | undefined;
}

const REALM = 'pura';
const NONCE_BYTES = 16;
const LONGEST_CREDENTIAL = 12_000;

const challengeSchema = z.object({
  id: z.base64url().max(200),
  realm: z.string(),
  method: z.literal('lightning'),
  intent: z.literal('charge'),
  request: z.base64url(),
  expires: z.string().optional(),
});
const credentialSchema = z.object({ challenge: challengeSchema, payload: z.object({ preimage: z.string() }) });
const requestSchema = z.object({ externalId: z.string(), methodDetails: z.object({ paymentHash: z.hex().length(64) }) });

/**
 * A `WWW-Authenticate` line of the Machine Payments Protocol (draft-lightning-charge-00, https://paymentauth.org). Nothing is stored:
 * the id is random bytes and an HMAC over all that the credential echoes. The draft lets a credential be used once; this one is a
 * top-up, good again until what was paid is spent, and challenges may share an invoice.
 */
export function mppChallenge(
  roots: readonly RootSecret[],
  invoice: MppInvoice,
  { grant, network }: { grant: Grant; network: Network },
): string {
  const [root] = roots;
  if (!root) throw new RangeError('no root secret');
  const { bolt11, paymentHash, amountSat, expiresAt } = invoice;
  // Members in the order of JCS (RFC 8785), on every level.
  const request = base64UrlJson({
    amount: String(amountSat),
    currency: 'sat',
    externalId: externalIdOf(grant),
    methodDetails: { invoice: bolt11, network: network === 'simulated' ? 'regtest' : network, paymentHash: paymentHash.toString('hex') },
  });
  const challenge: Challenge = { realm: REALM, method: 'lightning', intent: 'charge', request, expires: expiresAt.toISOString() };
  const nonce = randomBytes(NONCE_BYTES);
  const id = Buffer.concat([nonce, seal(root, nonce, challenge)]).toString('base64url');
  const parameters = Object.entries({ id, ...challenge }).map(([name, value]) => `${name}="${value}"`);
  return `Payment ${parameters.join(', ')}`;
}

/** What the token of `Authorization: Payment` claims; null where it is malformed or its challenge is not one of ours, word for word. */
export function readMppCredential(roots: readonly RootSecret[], token: string): MppCredential | null {
  if (token.length > LONGEST_CREDENTIAL) return null;
  const parsed = credentialSchema.safeParse(jsonOf(token));
  if (!parsed.success) return null;
  const { challenge, payload } = parsed.data;
  const id = Buffer.from(challenge.id, 'base64url');
  const nonce = id.subarray(0, NONCE_BYTES);
  const given = id.subarray(NONCE_BYTES);
  const seals = roots.map((root) => seal(root, nonce, challenge));
  if (!seals.some((expected) => expected.length === given.length && timingSafeEqual(expected, given))) return null;
  const request = requestSchema.safeParse(jsonOf(challenge.request));
  const grant = request.data && grantOf(request.data.externalId);
  if (!request.data || !grant) return null;
  const paymentHash = Buffer.from(request.data.methodDetails.paymentHash, 'hex');
  return { challengeId: challenge.id, claim: { paymentHash, grant }, preimage: payload.preimage };
}

/** The `Payment-Receipt` of an answer. Names the payment by its hash, never by its preimage. */
export function mppReceipt({ challengeId, paymentHash, settledAt }: { challengeId: string; paymentHash: Buffer; settledAt: Date }): string {
  const reference = paymentHash.toString('hex');
  return base64UrlJson({ challengeId, method: 'lightning', reference, status: 'success', timestamp: settledAt.toISOString() });
}

/** An HMAC over everything that a challenge says; the key row and the payment hash are part of its `request`. */
function seal(root: RootSecret, nonce: Buffer, { realm, method, intent, request, expires }: Challenge): Buffer {
  const fields = JSON.stringify([realm, method, intent, request, expires ?? null]);
  return createHmac('sha256', deriveKey(root, 'challenge')).update(nonce).update(fields).digest();
}

/** The grant where the draft has the merchant's own reference. */
function externalIdOf({ keyId, keyPrefix, idleDays }: Grant): string {
  return `${keyId}.${idleDays ?? ''}.${keyPrefix}`;
}

function grantOf(externalId: string): Grant | null {
  const [, keyId, idleDays, keyPrefix] = /^([0-9a-f-]{36})\.(\d*)\.(.+)$/.exec(externalId) ?? [];
  return keyId === undefined || keyPrefix === undefined ? null : { keyId, keyPrefix, idleDays: idleDays ? Number(idleDays) : null };
}

function base64UrlJson(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function jsonOf(base64Url: string): unknown {
  try {
    return JSON.parse(Buffer.from(base64Url, 'base64url').toString());
  } catch {
    return undefined;
  }
}
