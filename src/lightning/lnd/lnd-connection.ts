import type { Observe } from '../../observation.ts';
import { DeadlineError, withDeadline } from '../deadline.ts';
import { isLndsAnswer, lightningUnavailable } from './lnd-failure.ts';

/**
 * A connection over which nothing of LND's has come for so long, though it was asked, is given up, at most once in that time: gRPC alone
 * waits a quarter of an hour for the kernel where calls are swallowed, and up to two minutes before it tries again where LND was away.
 */
const DEAD_MS = 30_000;

export interface LndConnectionOptions<Clients> {
  connect: () => Clients;
  /** How long a call may take. */
  deadlineMs: number;
  observe: Observe;
  /** A clock that only goes forward, in milliseconds. */
  now?: (() => number) | undefined;
}

interface Connection<Clients> {
  readonly clients: Clients;
  readonly underWay: Set<Promise<unknown>>;
  /** Since when LND has said nothing over it though it was asked; undefined where it has answered since. */
  silentSince: number | undefined;
}

/** The gRPC clients of one LND, with a limit to what a call may take; made anew when their connection is dead. */
export class LndConnection<Clients extends object> {
  readonly #options: LndConnectionOptions<Clients>;
  #current: Connection<Clients>;

  constructor(options: LndConnectionOptions<Clients>) {
    this.#options = options;
    this.#current = this.#open();
  }

  get lnd(): Clients {
    return this.#current.clients;
  }

  /**
   * What LND answers. `method` resolves to undefined where it did not wait any longer and LND had said nothing. Rejects with GatewayError
   * `lightning_unavailable` where LND fails or does not answer in time.
   */
  async call<T>(method: (lnd: Clients) => Promise<T>): Promise<T> {
    const connection = this.#current;
    const running = method(connection.clients);
    connection.underWay.add(running);
    const ended = (): void => void connection.underWay.delete(running);
    running.then(ended, ended);
    try {
      const answer = await withDeadline(running, this.#options.deadlineMs);
      if (answer !== undefined) connection.silentSince = undefined;
      return answer;
    } catch (error) {
      if (!(error instanceof DeadlineError) && isLndsAnswer(error)) connection.silentSince = undefined;
      else this.#silent(connection);
      throw lightningUnavailable(error);
    }
  }

  /** Closes the clients once no call is under way. */
  close(): void {
    closeWhenDone(this.#current);
  }

  #open(): Connection<Clients> {
    return { clients: this.#options.connect(), underWay: new Set(), silentSince: undefined };
  }

  /** The old clients are left to their late answers: what these tell is no news of the connection that took their place. */
  #silent(connection: Connection<Clients>): void {
    const { now = () => performance.now(), observe } = this.#options;
    connection.silentSince ??= now();
    if (connection !== this.#current || now() - connection.silentSince < DEAD_MS) return;
    this.#current = this.#open();
    closeWhenDone(connection);
    observe({ kind: 'lightning_silent', backend: 'lnd' });
  }
}

/** Not before: `lightning` may follow an answer up with another call, and throw into nobody's hands. Streams go on to their end. */
function closeWhenDone({ clients, underWay }: Connection<object>): void {
  const closing = Object.values(clients as Record<string, { close?(): void }>);
  void Promise.allSettled(underWay).then(() => closing.forEach((client) => client.close?.()));
}
