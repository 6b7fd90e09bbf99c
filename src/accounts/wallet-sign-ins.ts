import { createHash, randomBytes } from 'node:crypto';
import type { Notifications } from '../db/notify.ts';
import type { Pool, PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { Session } from './sessions.ts';

/** What a signature is for: a session, another linked wallet, or what is done only right after a proof. */
export type SignInAction = 'login' | 'link' | 'auth';

/** Who shows a code. */
export interface CodeAsked {
  action: SignInAction;
  /** The secret of the browser's cookie: only the browser that shows a code gets what its signature gives. */
  browser: string;
  /** The sender's network, not the whole address. */
  network: string;
  /** The session that asks, or `newcomer`; none for `login`. */
  session?: CodeAsker | undefined;
}

/** Whom a signature is for. */
export interface CodeAsker {
  readonly id: Session['id'];
  readonly accountId: string | null;
}

/** Stands for the session of a browser that has none yet, whose wallet signs for an account of its own. */
export function newcomer(browser: string): CodeAsker {
  return { id: sha256(`newcomer ${browser}`), accountId: null };
}

/** A wallet's sign-in, as its owner is told of it. */
export interface WalletSignIn {
  readonly at: Date;
  readonly network: string;
  readonly walletName: string | null;
}

/** How long a code may be signed, and the signature used. */
export const CODE_SECONDS = 300;
const MOST_OPEN = 10;
const CHANNEL = 'wallet_signed';
const FRESH = `created_at > clock_timestamp() - make_interval(secs => ${CODE_SECONDS})`;

/**
 * Sign-ins by a wallet's signature (LUD-04). A browser shows a challenge, the wallet signs it from anywhere, and the browser, known by its
 * cookie, claims what the signature gives: once, within five minutes. The database knows challenges and cookies by their hashes alone.
 */
export class WalletSignIns {
  readonly #pool: Pool;
  readonly #notifications: Notifications;
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(pool: Pool, notifications: Notifications) {
    this.#pool = pool;
    this.#notifications = notifications;
    notifications.listen(
      CHANNEL,
      (browser) => this.#listeners.get(browser)?.forEach((changed) => changed()),
      () => this.#listeners.forEach((each) => each.forEach((changed) => changed())),
    );
  }

  /** A new challenge, 32 bytes. Throws `rate_limit_exceeded` where the browser has too many open ones. */
  async show({ action, browser, network, session }: CodeAsked): Promise<Buffer> {
    const k1 = randomBytes(32);
    const { rowCount } = await this.#pool.query(
      `insert into wallet_sign_ins (k1_sha256, action, browser_sha256, network, session_sha256, account_id)
       select $1, $2, $3, $4, $5, $6
       where (select count(*) from wallet_sign_ins where browser_sha256 = $3 and claimed_at is null and ${FRESH}) < $7`,
      [sha256(k1), action, sha256(browser), network, session?.id ?? null, session?.accountId ?? null, MOST_OPEN],
    );
    if (rowCount === 0) {
      throw new GatewayError('rate_limit_exceeded', {
        message: 'Too many codes. Use one of them, or wait five minutes.',
        retryAfter: CODE_SECONDS,
      });
    }
    return k1;
  }

  /**
   * Notes a genuine signature: `linkingKey` is who made it. The same wallet may send it again. Throws `not_found` for a challenge that is
   * unknown, over, for something else, or signed by another wallet.
   */
  async signed({ k1, action, linkingKey }: { k1: Buffer; action: string; linkingKey: Buffer }): Promise<void> {
    const { rows } = await this.#pool.query<{ browser: Buffer }>(
      `update wallet_sign_ins set linking_key = $3, signed_at = coalesce(signed_at, clock_timestamp())
       where k1_sha256 = $1 and action = $2 and (linking_key is null or linking_key = $3) and ${FRESH}
       returning browser_sha256 as browser`,
      [sha256(k1), action, linkingKey],
    );
    const [row] = rows;
    if (!row) throw new GatewayError('not_found', { message: 'This code is not valid any more. Show a new one.' });
    // A hint alone: the browser looks by itself too.
    await this.#notifications.notify(CHANNEL, row.browser.toString('hex')).catch(() => {});
  }

  /** Whether this browser shows a code whose signature it may still get. */
  async isShown({ browser, action }: Pick<CodeAsked, 'browser' | 'action'>): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `select from wallet_sign_ins where browser_sha256 = $1 and action = $2 and claimed_at is null and ${FRESH} limit 1`,
      [sha256(browser), action],
    );
    return rowCount !== 0;
  }

  /**
   * Whether a signature waits for this browser to claim it that came after the code that is shown now: one of before has been looked at, and
   * a page that goes on by itself would leave no time for another wallet.
   */
  async isSigned({ browser, action }: Pick<CodeAsked, 'browser' | 'action'>): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `select from wallet_sign_ins where browser_sha256 = $1 and action = $2 and claimed_at is null and ${FRESH}
         and signed_at > (select max(created_at) from wallet_sign_ins where browser_sha256 = $1 and action = $2)`,
      [sha256(browser), action],
    );
    return rowCount !== 0;
  }

  /** Calls `changed` whenever a code of the browser may have been signed. Returns what ends that. */
  subscribe(browser: string, changed: () => void): () => void {
    const name = sha256(browser).toString('hex');
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(changed));
    return () => {
      listeners.delete(changed);
      if (listeners.size === 0) this.#listeners.delete(name);
    };
  }

  /** The wallets' sign-ins to an account in the last week, newest first. */
  async recent(accountId: string): Promise<WalletSignIn[]> {
    const { rows } = await this.#pool.query<WalletSignIn>(
      `select s.claimed_at as at, s.network, w.name as "walletName" from wallet_sign_ins s
         left join linked_wallets w on w.linking_key = s.linking_key and w.account_id = s.account_id and w.unlinked_at is null
       where s.account_id = $1 and s.action = 'login' and s.claimed_at > clock_timestamp() - interval '7 days'
       order by s.claimed_at desc limit 50`,
      [accountId],
    );
    return rows;
  }
}

/** Forgets what nobody is told of any more. */
export async function forgetWalletSignIns(pool: Pool): Promise<void> {
  await pool.query(
    `delete from wallet_sign_ins
     where created_at < now() - interval '8 days' or (claimed_at is null and created_at < now() - interval '1 hour')`,
  );
}

/** A signature that waits to be claimed. */
export interface WaitingSignature {
  readonly k1Sha256: Buffer;
  readonly linkingKey: Buffer;
}

/**
 * Locks the signature that waits for the browser, in the caller's transaction; null where there is none, or another caller has it. For
 * `link` and `auth` it must be of the very session.
 */
export async function lockSignature(
  client: PoolClient,
  { browser, action, session }: Pick<CodeAsked, 'browser' | 'action' | 'session'>,
): Promise<WaitingSignature | null> {
  const { rows } = await client.query<WaitingSignature>(
    `select k1_sha256 as "k1Sha256", linking_key as "linkingKey" from wallet_sign_ins
     where browser_sha256 = $1 and action = $2 and session_sha256 is not distinct from $3
       and signed_at is not null and claimed_at is null and ${FRESH}
     order by signed_at desc limit 1 for update skip locked`,
    [sha256(browser), action, session?.id ?? null],
  );
  return rows[0] ?? null;
}

/** Uses a locked signature up, for an account. */
export async function claimSignature(client: PoolClient, { k1Sha256 }: WaitingSignature, accountId: string): Promise<void> {
  await client.query('update wallet_sign_ins set claimed_at = clock_timestamp(), account_id = $2 where k1_sha256 = $1', [
    k1Sha256,
    accountId,
  ]);
}

function sha256(value: Buffer | string): Buffer {
  return createHash('sha256').update(value).digest();
}
