import type { Notifications } from '../db/notify.ts';
import type { Pool, PoolClient } from '../db/postgres.ts';

/** Every process tells the others by this channel, with the account's id, that something of it has changed. */
const CHANNEL = 'account';

/** Tells whoever looks on, in whatever process, that something of an account has changed. One that misses it looks again by itself. */
export function tellAccountChanged(notifications: Pick<Notifications, 'notify'>, accountId: string): Promise<void> {
  return notifications.notify(CHANNEL, accountId).catch(() => {});
}

/** The same with the commit of the caller's transaction. For what happens seldom: such commits wait for each other. */
export async function tellWithCommit(client: Pool | PoolClient, accountId: string): Promise<void> {
  await client.query('select pg_notify($1, $2)', [CHANNEL, accountId]);
}

/** Who looks on at which account. */
export class AccountChanges {
  readonly #watching = new Map<string, Set<() => void>>();
  readonly #stopListening: () => void;

  constructor(notifications: Pick<Notifications, 'listen'>) {
    this.#stopListening = notifications.listen(
      CHANNEL,
      (accountId) => this.#watching.get(accountId)?.forEach((changed) => changed()),
      () => this.#watching.forEach((watching) => watching.forEach((changed) => changed())),
    );
  }

  /** Calls `changed` when something of the account may have changed; it looks for itself. Returns the function that ends it. */
  subscribe(accountId: string, changed: () => void): () => void {
    const watching = this.#watching.get(accountId) ?? new Set();
    this.#watching.set(accountId, watching.add(changed));
    return () => {
      watching.delete(changed);
      if (watching.size === 0 && this.#watching.get(accountId) === watching) this.#watching.delete(accountId);
    };
  }

  close(): void {
    this.#stopListening();
  }
}
