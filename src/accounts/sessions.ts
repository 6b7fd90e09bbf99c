import { createHash, randomBytes } from 'node:crypto';
import type { Pool, PoolClient } from '../db/postgres.ts';
import { LIVE_KEY } from './acting-key.ts';
import { API_KEY_COLUMNS, apiKeyFromRow, WALLET_PREFIX, type ApiKey, type ApiKeyRow } from './api-key.ts';
import { picoUsd } from '../amount.ts';

/** A person who is signed in at the console. */
export interface Session {
  /** SHA-256 of the token: names the session, and lets nobody in. */
  readonly id: Buffer;
  readonly accountId: string;
  /** What acts: the key that signed in, or what stands in for the linked wallet. */
  readonly key: ApiKey;
  readonly how: 'key' | 'wallet';
  /** The sender's network at the sign-in. */
  readonly network: string;
  readonly createdAt: Date;
  /** When the key was shown, or the wallet signed within the session, for the last time. */
  readonly confirmedAt: Date;
}

/** Why nobody is signed in: `unknown` is also a session whose time is over, `revoked` one whose key or wallet may not act any more. */
export type NoSession = 'unknown' | 'revoked';

/** A key that has just been shown, or a wallet that has just signed. */
export type Proof = Pick<ApiKey, 'id' | 'accountId' | 'prefix'>;

/** The longest that a session lasts. */
export const SESSION_SECONDS = 12 * 3600;
/** How long after a proof money may go out. */
const FRESH_MS = 15 * 60_000;
const TOKEN = /^[\w-]{43}$/;

/**
 * The sessions of the console. A session lives as long as the key or the linked wallet that it was begun with, and 12 hours at most. The
 * token is known to the browser alone.
 */
export class Sessions {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /**
   * Begins a session and gives its token, 256 random bits in base64url. `network` is the sender's, not the whole address. A wallet's sign-in
   * is no proof for what needs a fresh one: another site can have shown our code, and the session is then that site's (relay attack).
   */
  async start(proof: Proof, network: string): Promise<string> {
    const token = randomBytes(32).toString('base64url');
    const isWallet = proof.prefix === WALLET_PREFIX;
    await this.#pool.query(
      `insert into sessions (token_sha256, account_id, key_id, key_prefix, wallet_id, network, confirmed_at)
       values ($1, $2, $3, $4, $5, $6, case when $5::uuid is null then clock_timestamp() else 'epoch' end)`,
      [digest(token), proof.accountId, isWallet ? null : proof.id, isWallet ? null : proof.prefix, isWallet ? proof.id : null, network],
    );
    return token;
  }

  /** The session of a token, as its key or wallet stands now. */
  async find(token: string | undefined): Promise<Session | NoSession> {
    if (token === undefined || !TOKEN.test(token)) return 'unknown';
    const { rows } = await this.#pool.query<SessionRow>({ name: 'find_session', text: FIND, values: [digest(token), SESSION_SECONDS] });
    const [row] = rows;
    if (!row) return 'unknown';
    if (!row.live) return 'revoked';
    const { wallet_id: walletId, token_sha256: id, network, began_at: createdAt, confirmed_at: confirmedAt } = row;
    const key =
      walletId === null ? apiKeyFromRow(row) : walletStandIn({ id: walletId, accountId: row.session_account, name: row.wallet_name });
    return { id, accountId: row.session_account, key, how: walletId === null ? 'key' : 'wallet', network, createdAt, confirmedAt };
  }

  /** Notes that the session's owner has shown a key of the account, or signed with a wallet of it, once more. */
  async confirm({ id }: Session): Promise<void> {
    await this.#pool.query('update sessions set confirmed_at = clock_timestamp() where token_sha256 = $1', [id]);
  }

  /** Lets a session go on under the new secret of its own key. */
  async follow({ id }: Session, { id: keyId, prefix }: Proof): Promise<void> {
    await this.#pool.query('update sessions set key_prefix = $3 where token_sha256 = $1 and key_id = $2', [id, keyId, prefix]);
  }

  async end({ id }: Session): Promise<void> {
    await this.#pool.query('delete from sessions where token_sha256 = $1', [id]);
  }

  /** Forgets the sessions whose time is over. */
  async forget(): Promise<void> {
    await this.#pool.query('delete from sessions where created_at < now() - make_interval(secs => $1)', [SESSION_SECONDS]);
  }
}

/** Whether the session's owner has proven who they are a short while ago. Money goes out, and owner keys are made, only then. */
export function isFresh({ confirmedAt }: Session, now = Date.now()): boolean {
  return now - confirmedAt.getTime() < FRESH_MS;
}

/** Whether more was shown than a wallet's signature at the sign-in, which another site can have had (relay attack). */
export function isProven({ confirmedAt }: Session): boolean {
  return confirmedAt.getTime() > 0;
}

/** What acts for a linked wallet wherever a key acts. Nothing is charged to it: it makes no requests. */
export function walletStandIn({ id, accountId, name }: { id: string; accountId: string; name: string | null }): ApiKey {
  return {
    id,
    accountId,
    role: 'owner',
    label: name,
    prefix: WALLET_PREFIX,
    dailyBudgetPicoUsd: picoUsd(0n),
    rateLimitRpm: null,
    rateLimitTpm: null,
    allowedModels: null,
    expiresAt: null,
    revokedAt: null,
    lastUsedAt: null,
    createdAt: new Date(0),
    version: 0,
  };
}

/** Ends all sessions of a linked wallet, in the caller's transaction. */
export async function endSessionsOfWallet(client: PoolClient, walletId: string): Promise<void> {
  await client.query('delete from sessions where wallet_id = $1', [walletId]);
}

interface SessionRow extends ApiKeyRow {
  token_sha256: Buffer;
  session_account: string;
  wallet_id: string | null;
  wallet_name: string | null;
  network: string;
  began_at: Date;
  confirmed_at: Date;
  live: boolean;
}

/** Seen at most once a minute, so that a page that asks often writes little. */
const FIND = `
  with seen as (
    update sessions set last_seen_at = clock_timestamp() where token_sha256 = $1 and last_seen_at < clock_timestamp() - interval '1 minute'
  )
  select ${API_KEY_COLUMNS.split(',')
    .map((column) => `k.${column.trim()}`)
    .join(', ')},
    s.token_sha256, s.account_id as session_account, s.wallet_id, w.name as wallet_name, s.network, s.created_at as began_at, s.confirmed_at,
    case when s.wallet_id is null then k.prefix = s.key_prefix and k.account_id = s.account_id and (${LIVE_KEY.replaceAll(/revoked_at|expires_at/g, 'k.$&')})
      else w.account_id = s.account_id and w.unlinked_at is null end as live
  from sessions s
    left join api_keys k on k.id = s.key_id
    left join linked_wallets w on w.id = s.wallet_id
  where s.token_sha256 = $1 and s.created_at > clock_timestamp() - make_interval(secs => $2)`;

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
