import { tellAccountChanged } from '../accounts/account-changes.ts';
import type { Notifications } from '../db/notify.ts';
import type { Pool } from '../db/postgres.ts';
import type { Observe } from '../observation.ts';
import { msatFromSats, type Msat } from '../amount.ts';

/** What the request path must know of an account with autopay. */
export interface Watched {
  readonly thresholdMsat: Msat;
  readonly topupMsat: Msat;
  /** On the monotonic clock: until then nothing can be done, as was found out. */
  quietUntil: number;
}

interface Row {
  account_id: string;
  threshold_sat: number;
  topup_sat: number;
}

/** Every process tells the others by this channel, with the account's id, that its autopay has changed. */
const CHANNEL = 'autopay';
const ON = `select account_id, threshold_sat, topup_sat from autopay where state = 'on'`;

/** The accounts whose autopay is on, in memory: all others cost no query. What is decided by it is decided anew in the database. */
export class WatchedAccounts {
  readonly #pool: Pool;
  readonly #notifications: Notifications;
  readonly #stopListening: () => void;
  #accounts = new Map<string, Watched>();

  constructor({ pool, notifications, observe }: { pool: Pool; notifications: Notifications; observe: Observe }) {
    this.#pool = pool;
    this.#notifications = notifications;
    const warn = (error: unknown): void => observe({ kind: 'autopay_unread', err: error });
    this.#stopListening = notifications.listen(
      CHANNEL,
      (accountId) => void this.#readOne(accountId).catch(warn),
      () => void this.read().catch(warn),
    );
  }

  get(accountId: string): Watched | undefined {
    return this.#accounts.get(accountId);
  }

  /** Reads all of them. */
  async read(): Promise<void> {
    const { rows } = await this.#pool.query<Row>(ON);
    this.#accounts = new Map(rows.map((row) => [row.account_id, watchedOf(row, this.#accounts.get(row.account_id))]));
  }

  /** To be called when an account's autopay has changed: here and in all other processes it is read anew. */
  async changed(accountId: string): Promise<void> {
    await this.#readOne(accountId);
    // One that misses this reads all of them from time to time.
    await this.#notifications.notify(CHANNEL, accountId).catch(() => {});
    await tellAccountChanged(this.#notifications, accountId);
  }

  close(): void {
    this.#stopListening();
  }

  async #readOne(accountId: string): Promise<void> {
    const { rows } = await this.#pool.query<Row>(`${ON} and account_id = $1`, [accountId]);
    if (rows[0]) this.#accounts.set(accountId, watchedOf(rows[0]));
    else this.#accounts.delete(accountId);
  }
}

function watchedOf({ threshold_sat: thresholdSat, topup_sat: topupSat }: Row, before?: Watched): Watched {
  return { thresholdMsat: msatFromSats(thresholdSat), topupMsat: msatFromSats(topupSat), quietUntil: before?.quietUntil ?? 0 };
}
