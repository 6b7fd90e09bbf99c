import { Client, Pool, type Dispatcher } from 'undici';
import type { Socket } from 'node:net';

/** A handler that wants to know over which connection it is carried out. */
export interface ExchangeHandler extends Dispatcher.DispatchHandler {
  connection?: Connection | undefined;
}

/** What is sent over a connection at one time. */
export interface Trip {
  /** Whether the connection had carried an exchange before this one, and not one byte has come back since. */
  isUnanswered(): boolean;
}

/** One connection after another of one client. */
export class Connection {
  #socket: Socket | undefined;
  #trips = 0;

  /** The same connector, whose connections are noted here. */
  noting(connect: Connector): Connector {
    return (options, callback) =>
      connect(options, (...result) => {
        this.#socket = result[1] ?? undefined;
        this.#trips = 0;
        callback(...result);
      });
  }

  /** Called when a request is about to be written. */
  begin(): Trip {
    const socket = this.#socket;
    const isReused = this.#trips++ > 0;
    const bytesBefore = socket?.bytesRead;
    return { isUnanswered: () => isReused && socket?.bytesRead === bytesBefore };
  }
}

type Connector = Extract<NonNullable<Client.Options['connect']>, (...args: never[]) => unknown>;

/** Connections to one origin, kept open for a while; and fresh ones, for what a kept one has lost. */
export class ConnectionPool {
  readonly #origin: string;
  readonly #options: Client.Options;
  readonly #pool: Pool;
  readonly #fresh = new Set<Client>();

  constructor(origin: string, options: Client.Options) {
    this.#origin = origin;
    this.#options = options;
    this.#pool = new Pool(origin, {
      ...options,
      connections: null,
      factory: (url, given) => new NotingClient(url, given),
    });
  }

  dispatch(request: Dispatcher.DispatchOptions, handler: ExchangeHandler): void {
    this.#pool.dispatch(request, handler);
  }

  /** Sends the request over a connection of its own, which is closed afterwards. */
  dispatchFresh(request: Dispatcher.DispatchOptions, handler: ExchangeHandler): void {
    handler.connection = undefined;
    const client = new Client(this.#origin, this.#options);
    this.#fresh.add(client);
    client.dispatch({ ...request, reset: true }, handler);
    void client.close().finally(() => this.#fresh.delete(client));
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#pool, ...this.#fresh].map((dispatcher) => dispatcher.destroy()));
  }
}

/** A client that tells its handlers of its connection. */
class NotingClient extends Client {
  readonly #connection: Connection;

  constructor(origin: URL | string, options: Client.Options) {
    const connection = new Connection();
    super(origin, { ...options, connect: connection.noting(options.connect as Connector) });
    this.#connection = connection;
  }

  override dispatch(request: Dispatcher.DispatchOptions, handler: ExchangeHandler): boolean {
    handler.connection = this.#connection;
    return super.dispatch(request, handler);
  }
}
