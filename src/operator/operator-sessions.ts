import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { AdminToken } from '../config/admin-tokens.ts';
import type { Pool } from '../db/postgres.ts';
import type { Operator } from './acts.ts';

/** An operator who is signed in. */
export interface OperatorSession extends Operator {
  readonly createdAt: Date;
}

/** The longest that a session lasts, and how long without a sign of its operator. */
export const OPERATOR_SESSION_SECONDS = 12 * 3600;
const IDLE_SECONDS = 3600;
const TOKEN = /^[\w-]{43}$/;

/**
 * The sessions of operators. A session ends with the token that it was begun with: whoever takes a token out of the configuration, or changes
 * it, signs its operator out. The session's own token is known to the browser alone.
 */
export class OperatorSessions {
  readonly #pool: Pool;
  readonly #tokens: readonly AdminToken[];

  constructor(pool: Pool, tokens: readonly AdminToken[]) {
    this.#pool = pool;
    this.#tokens = tokens;
  }

  /** Whether operators are told apart by name. */
  get named(): boolean {
    return this.#tokens.length > 1;
  }

  /** The operator whose name and token these are; undefined for any other pair, in the same time. */
  identify(name: string, token: string): string | undefined {
    let found: string | undefined;
    for (const known of this.#tokens) {
      const isToken = timingSafeEqual(digest(token), digest(known.token));
      const isName = !this.named || timingSafeEqual(digest(name), digest(known.name));
      if (isToken && isName) found = known.name;
    }
    return found;
  }

  /** Begins a session of an operator who has shown their token, and gives the session's own. */
  async start({ name, network }: Operator): Promise<string> {
    const token = randomBytes(32).toString('base64url');
    await this.#pool.query('insert into admin_sessions (token_sha256, name, proof, network) values ($1, $2, $3, $4)', [
      digest(token),
      name,
      this.#proof(token, name),
      network,
    ]);
    return token;
  }

  /** The session of a token; undefined where there is none, or none any more. */
  async find(token: string | undefined): Promise<OperatorSession | undefined> {
    if (token === undefined || !TOKEN.test(token)) return undefined;
    const { rows } = await this.#pool.query<SessionRow>(FIND, [digest(token), OPERATOR_SESSION_SECONDS, IDLE_SECONDS]);
    const [row] = rows;
    if (!row) return undefined;
    const proof = this.#proof(token, row.name);
    if (!proof || !timingSafeEqual(proof, row.proof)) return undefined;
    return { name: row.name, network: row.network, createdAt: row.created_at };
  }

  async end(token: string): Promise<void> {
    await this.#pool.query('delete from admin_sessions where token_sha256 = $1', [digest(token)]);
  }

  /** Forgets the sessions whose time is over. */
  async forget(): Promise<void> {
    await this.#pool.query('delete from admin_sessions where created_at < now() - make_interval(secs => $1)', [OPERATOR_SESSION_SECONDS]);
  }

  /** Of the operator's token, under the session's: null for a name that is none any more. */
  #proof(token: string, name: string): Buffer | null {
    const known = this.#tokens.find((each) => each.name === name);
    return known ? createHmac('sha256', token).update(known.token).digest() : null;
  }
}

interface SessionRow {
  name: string;
  proof: Buffer;
  network: string;
  created_at: Date;
}

/** Seen at most once a minute, so that a page that asks often writes little. */
const FIND = `
  with seen as (
    update admin_sessions set last_seen_at = clock_timestamp() where token_sha256 = $1 and last_seen_at < clock_timestamp() - interval '1 minute'
      and last_seen_at > clock_timestamp() - make_interval(secs => $3)
  )
  select name, proof, network, created_at from admin_sessions
  where token_sha256 = $1 and created_at > clock_timestamp() - make_interval(secs => $2) and last_seen_at > clock_timestamp() - make_interval(secs => $3)`;

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
