import pg from 'pg';

export type Pool = pg.Pool;
export type PoolClient = pg.PoolClient;
export type { QueryConfig, QueryResult, QueryResultRow } from 'pg';

const INT8 = 20;
const DATE = 1082;

/** int8 columns come back as bigint (money must never pass through a double); dates stay `YYYY-MM-DD`. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid, format) {
    if (oid === INT8) return BigInt;
    if (oid === DATE) return String;
    return pg.types.getTypeParser(oid, format);
  },
};

export interface PoolOptions {
  connectionString: string;
  max?: number;
  /** Connections that are kept, however long nobody needs them. */
  min?: number;
  /** Sends a connection's next statement without waiting for the answer to the one before. */
  pipeline?: boolean;
  /** After how long without a connection its caller is told. */
  connectLimitMs?: number;
  /** Told of connections that broke while idle; without a listener such an error would end the process. */
  onError?: (error: Error) => void;
}

/** A pool of connections to the ledger's database. */
export function createPool({
  connectionString,
  max = 10,
  min = 0,
  pipeline = false,
  connectLimitMs = 5_000,
  onError = () => {},
}: PoolOptions): Pool {
  const pool = new pg.Pool({
    connectionString,
    max,
    min,
    pipeline,
    types,
    connectionTimeoutMillis: connectLimitMs,
    application_name: 'pura-gateway',
    keepAlive: true,
    // A database that hangs must not hang its callers: the server gives up first, then we do.
    statement_timeout: 8_000,
    query_timeout: 10_000,
  });
  pool.on('error', onError);
  // A client in use has no listener of the pool's: its connection's end, which its statement reports too, would end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/**
 * Runs `work` in one transaction: committed when it resolves, rolled back when it rejects. `promised` is for what the world outside will
 * rely on (a payment credited or sent, a key ended): it returns once the synchronous standbys have it too, where there are any and
 * however the server is set for the rest.
 */
export function transaction<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
  { promised = false }: { promised?: boolean } = {},
): Promise<T> {
  return within(pool, promised ? 'begin; set local synchronous_commit = remote_apply' : 'begin', work);
}

/** Runs `work`, which only reads, on the database as it is at one moment. */
export function snapshot<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  return within(pool, 'begin isolation level repeatable read read only', work);
}

async function within<T>(pool: Pool, begin: string, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query(begin);
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((lost: Error) => (broken = lost));
    throw error;
  } finally {
    client.release(broken);
  }
}

/** No connection could be had, so nothing was sent. */
export class NotConnectedError extends Error {
  override name = 'NotConnectedError';
}

/** One statement, told apart from the connecting: NotConnectedError means that the statement never left. */
export async function queryConnected<Row extends pg.QueryResultRow>(pool: Pool, query: pg.QueryConfig): Promise<pg.QueryResult<Row>> {
  let client: PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    throw new NotConnectedError('no connection to the database', { cause: error });
  }
  try {
    const result = await client.query<Row>(query);
    client.release();
    return result;
  } catch (error) {
    // An error of the statement leaves the connection usable; any other one ends it.
    client.release(isConnectionLost(error) ? (error as Error) : undefined);
    throw error;
  }
}

/** Whether an error means that the connection or server is gone (as against a statement that the server refused). */
export function isConnectionLost(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string') return error instanceof Error && /connection|timeout|terminated|not queryable/i.test(error.message);
  // Class 08: connection exceptions; 57P0x: the server is shutting down or starting up; 53300: no connection slot left.
  return /^(08|57P0|53300)/.test(code) || /^(E[A-Z]+)$/.test(code);
}

/**
 * Whether the server refused a statement for what has nothing to do with it and passes: no space or memory left
 * (class 53), an error of its disk (58), a statement that took too long (57014), or a standby that only reads (25006).
 */
export function isPassing(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^(53|58|57014|25006)/.test(code);
}
