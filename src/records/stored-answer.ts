import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import type { RootSecret } from '../config/secret-keys.ts';
import type { Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { msat, msatFromPicoUsd, picoUsd, type Msat, type PicoUsd, type PicoUsdPerMsat } from '../amount.ts';
import { deriveKey } from '../secrets.ts';

/** Answers above this are not kept: their key is spent, and a repeat is told so. */
export const MAX_STORED_BYTES = 1024 * 1024;
/** What an account may store in a day, of answers that it paid for and of free ones. */
export const ANSWER_BYTES_A_DAY = 64 * 1024 * 1024;
export const FREE_ANSWER_BYTES_A_DAY = 256 * 1024;

/** A finished answer as a repeat gets it. Of a stream the last `lastBytes` are its last event: the settled figures go in before it, anew. */
export interface StoredAnswer {
  status: number;
  headers: Record<string, string | string[]>;
  stream: boolean;
  body: Buffer;
  lastBytes: number;
}

export interface IdempotencyKey {
  path: string;
  /** SHA-256 of the client's key, in hex: no text of a client's is stored. */
  key: string;
  bodySha256: Buffer;
}

/** A request's use of an Idempotency-Key. */
export interface Repeatable {
  idempotency: IdempotencyKey;
  /** Once it is known who pays for the request. Null where the account's day was full: the settlement has the last word on that. */
  keeping: (isFree: boolean) => Keeping | null;
}

/** How an answer is kept for repeats. */
export interface Keeping {
  /** A body above this is not kept. */
  mostBytes: number;
  /** Seals the answer under the account's own key; undefined where it is too large. */
  seal: (answer: StoredAnswer) => Buffer | undefined;
}

const HEADER = 'idempotency-key';
const FORMER_LAST_EVENT = Buffer.from('data: [DONE]\n\n');
const LOOKUP = `
  select a.answer_salt, a.answer_bytes, a.free_answer_bytes, coalesce(a.answer_day = (now() at time zone 'utc')::date, false) as stored_today,
    a.posted_msat - a.held_msat as available_msat, i.state, i.body_sha256, i.request_id, h.pico_usd_per_msat, h.posted_pico_usd, h.posted_msat, h.funding
  from accounts a
  left join idempotency i on i.account_id = a.id and i.path = $2 and i.key = $3 and (i.expires_at > now() or i.state = 'running')
  left join holds h on h.request_id = i.request_id
  where a.id = $1`;
/** From then on the answer is delivered, and is not given back: a refund that was faster has deleted it. */
const TAKE = `update idempotency set replayed = true where request_id = $1 and state = 'done' returning answer`;

interface LookupRow {
  answer_salt: Buffer;
  answer_bytes: bigint;
  free_answer_bytes: bigint;
  stored_today: boolean;
  available_msat: bigint;
  state: 'running' | 'done' | 'interrupted' | null;
  body_sha256: Buffer;
  request_id: string;
  pico_usd_per_msat: bigint | null;
  posted_pico_usd: bigint | null;
  posted_msat: bigint | null;
  funding: string | null;
}

/** What an earlier request with the same key and body left. */
export interface Replay {
  answer: StoredAnswer;
  requestId: string;
  costPicoUsd: PicoUsd;
  costMsat: Msat;
  chargedMsat: Msat;
  availableMsat: Msat;
  funding: string;
}

/** An earlier request with the same key and body has an answer. */
export interface EarlierAnswer {
  /**
   * Reads the answer, which counts as delivered then. Null where it was given back meanwhile: the key is free again.
   * Throws `idempotency_interrupted` where it cannot be read any more.
   * @param pool of connections that may be busy with a large answer.
   */
  take(pool: Pool): Promise<Replay | null>;
}

/** The request's Idempotency-Key, or null without one. Throws `invalid_request` unless it is 1 to 255 printable characters. */
export function idempotencyKeyOf(value: string | string[] | undefined, path: string, bodySha256: Buffer): IdempotencyKey | null {
  if (value === undefined) return null;
  if (typeof value !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(value)) {
    throw new GatewayError('invalid_request', { message: 'Idempotency-Key must be 1 to 255 printable ASCII characters.', param: HEADER });
  }
  return { path, key: createHash('sha256').update(value).digest('hex'), bodySha256 };
}

/**
 * Looks an Idempotency-Key up. Gives the means to read the answer to repeat, or to keep this request's.
 * Throws `idempotency_conflict`, `idempotency_in_progress` or `idempotency_interrupted`.
 */
export async function lookUpAnswer(
  pool: Pool,
  roots: readonly RootSecret[],
  accountId: string,
  idempotency: IdempotencyKey,
): Promise<EarlierAnswer | Repeatable> {
  const { rows } = await pool.query<LookupRow>({
    name: 'find_answer',
    text: LOOKUP,
    values: [accountId, idempotency.path, idempotency.key],
  });
  const row = rows[0];
  if (!row) throw new GatewayError('invalid_api_key');
  const context = Buffer.from(`${accountId}/${idempotency.path}/${idempotency.key}`);
  if (row.state === null) {
    return {
      idempotency,
      keeping(isFree) {
        const mostBytes = Math.min(MAX_STORED_BYTES, roomOf(row, isFree));
        if (mostBytes <= 0) return null;
        const sealing = { root: roots[0], salt: row.answer_salt, context };
        return { mostBytes, seal: (answer) => (answer.body.length > mostBytes ? undefined : seal(answer, sealing)) };
      },
    };
  }
  if (!row.body_sha256.equals(idempotency.bodySha256)) throw new GatewayError('idempotency_conflict', { param: HEADER });
  if (row.state === 'running') throw new GatewayError('idempotency_in_progress', { param: HEADER, retryAfter: 1 });
  if (row.state === 'interrupted') throw interrupted(row);
  return {
    async take(answers) {
      const { rows: taken } = await answers.query<{ answer: Buffer }>({ name: 'take_answer', text: TAKE, values: [row.request_id] });
      if (!taken[0]) return null;
      const answer = open(taken[0].answer, roots, row.answer_salt, context);
      if (!answer) throw interrupted(row);
      return {
        answer,
        requestId: row.request_id,
        ...costOf(row),
        chargedMsat: msat(row.posted_msat ?? 0n),
        availableMsat: msat(row.available_msat),
        funding: row.funding ?? 'wallet',
      };
    },
  };
}

function roomOf(row: LookupRow, isFree: boolean): number {
  const stored = isFree ? row.free_answer_bytes : row.answer_bytes;
  return (isFree ? FREE_ANSWER_BYTES_A_DAY : ANSWER_BYTES_A_DAY) - (row.stored_today ? Number(stored) : 0);
}

function costOf(row: LookupRow): Pick<Replay, 'costPicoUsd' | 'costMsat'> {
  const costPicoUsd = picoUsd(row.posted_pico_usd ?? 0n);
  return { costPicoUsd, costMsat: msatFromPicoUsd(costPicoUsd, (row.pico_usd_per_msat ?? 1n) as PicoUsdPerMsat) };
}

function interrupted(row: LookupRow): GatewayError {
  const fields = { request_id: row.request_id, cost_msat: Number(costOf(row).costMsat) };
  return new GatewayError('idempotency_interrupted', { param: HEADER, fields });
}

/** AES-256-GCM; the first byte names the root secret. */
function seal(
  { body, ...head }: StoredAnswer,
  { root, salt, context }: { root: RootSecret | undefined; salt: Buffer; context: Buffer },
): Buffer | undefined {
  if (!root) return undefined;
  const headBytes = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(headBytes.length);
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', answerKey(root, salt), nonce).setAAD(context);
  return Buffer.concat([
    Buffer.of(Number(root.id)),
    nonce,
    cipher.update(Buffer.concat([length, headBytes, body])),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
}

/** Null where the secret that sealed it is gone, or the bytes are not what was sealed. */
function open(sealed: Buffer, roots: readonly RootSecret[], salt: Buffer, context: Buffer): StoredAnswer | null {
  const root = roots.find(({ id }) => Number(id) === sealed[0]);
  if (!root) return null;
  try {
    const decipher = createDecipheriv('aes-256-gcm', answerKey(root, salt), sealed.subarray(1, 13)).setAAD(context);
    decipher.setAuthTag(sealed.subarray(-16));
    const plain = Buffer.concat([decipher.update(sealed.subarray(13, -16)), decipher.final()]);
    const headEnd = 4 + plain.readUInt32BE(0);
    const head = JSON.parse(plain.toString('utf8', 4, headEnd)) as Omit<StoredAnswer, 'body' | 'lastBytes'> & { lastBytes?: number };
    const body = plain.subarray(headEnd);
    // Answers that were stored without it ended before their last event, which was the same for all.
    if (head.stream && head.lastBytes === undefined)
      return { ...head, body: Buffer.concat([body, FORMER_LAST_EVENT]), lastBytes: FORMER_LAST_EVENT.length };
    return { ...head, body, lastBytes: head.lastBytes ?? 0 };
  } catch {
    return null;
  }
}

function answerKey(root: RootSecret, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', deriveKey(root, 'answer'), salt, 'pura-gateway/answer', 32));
}
