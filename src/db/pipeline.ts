import type pg from 'pg';
import { isConnectionLost, NotConnectedError, type Pool, type PoolClient } from './postgres.ts';

/**
 * Statements one after the other on one connection of a pool, each sent without waiting for the answers to those before, so that the
 * database goes from one to the next without a pause. Each is a transaction of its own: one that fails does not touch the next. The
 * connection goes back to the pool when nothing has been under way for a turn of the event loop.
 */
export class Pipeline {
  readonly #pool: Pool;
  #connecting: Promise<PoolClient> | undefined;
  #client: PoolClient | undefined;
  #underWay = 0;

  /** @param pool of connections that take statements ahead (`pipeline` of `createPool`). */
  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /**
   * Carries a statement out. Rejects with `NotConnectedError` where it never left, with the server's error, or with that of the
   * connection, which leaves unknown what became of this statement and of all that were under way.
   */
  async query<Row extends pg.QueryResultRow>(query: pg.QueryConfig): Promise<pg.QueryResult<Row>> {
    this.#underWay++;
    let client = this.#client;
    try {
      client ??= await this.#connected();
      return await client.query<Row>(query);
    } catch (error) {
      if (client && isConnectionLost(error)) this.#leave(client, error as Error);
      throw error;
    } finally {
      this.#underWay--;
      // Not at once: whoever is told of this may have the next one ready, and a pool gives connections out only a tick later.
      if (this.#underWay === 0) setImmediate(() => this.#rest());
    }
  }

  async #connected(): Promise<PoolClient> {
    this.#connecting ??= this.#pool.connect();
    const connecting = this.#connecting;
    try {
      const client = await connecting;
      if (this.#connecting === connecting) {
        this.#connecting = undefined;
        this.#client = client;
      }
      return client;
    } catch (error) {
      if (this.#connecting === connecting) this.#connecting = undefined;
      throw new NotConnectedError('no connection to the database', { cause: error });
    }
  }

  #rest(): void {
    if (this.#underWay === 0 && this.#client) this.#leave(this.#client);
  }

  /** Gives the connection back, or up where it has broken. */
  #leave(client: PoolClient, broken?: Error): void {
    if (client !== this.#client) return;
    this.#client = undefined;
    client.release(broken);
  }
}
