import pg from 'pg';
import type { Logger } from '../log.ts';

interface Subscription {
  onMessage: (payload: string) => void;
  onGap: () => void;
}

/** PostgreSQL's LISTEN and NOTIFY over one connection that comes back by itself. Messages are hints: they can be lost. */
export interface Notifications {
  /** False while messages may be lost, from the first sign that the connection broke. */
  readonly connected: boolean;
  /**
   * Calls `onMessage` with the payload of every message on `channel`, and `onGap` each time that the connection is (again) listening:
   * what happened before was not seen and is the caller's to look up. Returns the function that ends it.
   */
  listen(channel: string, onMessage: (payload: string) => void, onGap?: () => void): () => void;
  /** Sends a message to every listener of every process. Rejects where the connection is down. */
  notify(channel: string, payload: string): Promise<void>;
  close(): Promise<void>;
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** A half-open connection delivers nothing and reports nothing: it is asked this often, and given as long to answer. */
const PROBE_MS = 2_000;

/** Starts listening in the background; never rejects for a database that is away. */
export function createNotifications(connectionString: string, log?: Logger): Notifications {
  return new ReconnectingListener(connectionString, log);
}

class ReconnectingListener implements Notifications {
  readonly #connectionString: string;
  readonly #log: Logger | undefined;
  readonly #channels = new Map<string, Set<Subscription>>();
  #client: pg.Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #probe: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #closed = false;
  #lastQuery: Promise<unknown> = Promise.resolve();
  connected = false;

  constructor(connectionString: string, log?: Logger) {
    this.#connectionString = connectionString;
    this.#log = log;
    void this.#connect();
  }

  listen(channel: string, onMessage: (payload: string) => void, onGap: () => void = () => {}): () => void {
    const subscription = { onMessage, onGap };
    const known = this.#channels.get(channel);
    if (known) known.add(subscription);
    else this.#channels.set(channel, new Set([subscription]));
    if (this.connected) void this.#listenTo(channel).then(onGap, () => {});
    return () => this.#channels.get(channel)?.delete(subscription);
  }

  async notify(channel: string, payload: string): Promise<void> {
    if (!this.#client || !this.connected) throw new Error('connection to the database lost: not listening');
    await this.#query(this.#client, 'select pg_notify($1, $2)', [channel, payload]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const client = this.#client;
    this.#drop(client);
    await client?.end().catch(() => {});
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#connectionString,
      application_name: 'pura-gateway listener',
      connectionTimeoutMillis: 5_000,
      query_timeout: PROBE_MS,
      keepAlive: true,
    });
    this.#client = client;
    client.on('error', (error) => this.#lost(client, error));
    client.on('end', () => this.#lost(client));
    client.on('notification', ({ channel, payload }) => this.#deliver(channel, payload ?? ''));
    try {
      await client.connect();
      for (const channel of this.#channels.keys()) await client.query(`listen ${client.escapeIdentifier(channel)}`);
    } catch (error) {
      this.#lost(client, error);
      return;
    }
    if (this.#client !== client) return;
    this.connected = true;
    this.#retryMs = FIRST_RETRY_MS;
    this.#probe = setInterval(() => void this.#query(client, 'select 1').catch((error: unknown) => this.#lost(client, error)), PROBE_MS);
    this.#probe.unref();
    for (const subscriptions of this.#channels.values()) for (const { onGap } of subscriptions) onGap();
  }

  async #listenTo(channel: string): Promise<void> {
    const client = this.#client;
    if (client) await this.#query(client, `listen ${client.escapeIdentifier(channel)}`);
  }

  /** One statement after the other: the driver is about to give up queueing them itself. */
  #query(client: pg.Client, text: string, values: unknown[] = []): Promise<unknown> {
    const result = this.#lastQuery.then(() => client.query(text, values));
    this.#lastQuery = result.catch(() => {});
    return result;
  }

  #deliver(channel: string, payload: string): void {
    for (const { onMessage } of this.#channels.get(channel) ?? []) onMessage(payload);
  }

  #drop(client: pg.Client | undefined): void {
    clearInterval(this.#probe);
    this.connected = false;
    if (this.#client === client) this.#client = undefined;
  }

  #lost(client: pg.Client, error?: unknown): void {
    if (this.#client !== client) return;
    this.#drop(client);
    client.end().catch(() => {});
    if (this.#closed) return;
    this.#log?.warn({ err: error }, 'lost the connection that listens for notifications');
    this.#retry = setTimeout(() => void this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }
}
