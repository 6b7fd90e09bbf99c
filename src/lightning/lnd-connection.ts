import type { Logger } from '../log.ts';
import { DeadlineError, withDeadline } from './deadline.ts';
import { lightningUnavailable } from './lnd-failure.ts';

/** A connection that has swallowed calls for so long is given up, at most once in that time: gRPC alone waits for the kernel, a quarter of an hour. */
const DEAD_MS = 30_000;

export interface LndConnectionOptions<Clients> {
  connect: () => Clients;
  /** How long a call may take. */
  deadlineMs: number;
  log: Logger;
}

/** The gRPC clients of one LND, with a limit to what a call may take; made anew when their connection is dead. */
export class LndConnection<Clients extends object> {
  readonly #options: LndConnectionOptions<Clients>;
  #clients: Clients;
  #silentSince: number | undefined;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(options: LndConnectionOptions<Clients>) {
    this.#options = options;
    this.#clients = options.connect();
  }

  get lnd(): Clients {
    return this.#clients;
  }

  /** Rejects with GatewayError `lightning_unavailable` where LND fails or does not answer in time. */
  async call<T>(method: (lnd: Clients) => Promise<T>): Promise<T> {
    const running = method(this.#clients);
    this.#underWay.add(running);
    const ended = (): void => void this.#underWay.delete(running);
    running.then(ended, ended);
    try {
      const answer = await withDeadline(running, this.#options.deadlineMs);
      this.#silentSince = undefined;
      return answer;
    } catch (error) {
      if (error instanceof DeadlineError) this.#silent();
      else this.#silentSince = undefined;
      throw lightningUnavailable(error);
    }
  }

  /** Closes the clients once no call is under way: `lightning` may follow an answer up with another call, and throw into nobody's hands. */
  close(): void {
    const clients = Object.values(this.#clients as Record<string, { close?(): void }>);
    void Promise.allSettled(this.#underWay).then(() => clients.forEach((client) => client.close?.()));
  }

  /** The old clients are left to their late answers; their connection ends when it has been idle for long. */
  #silent(): void {
    const now = performance.now();
    this.#silentSince ??= now;
    if (now - this.#silentSince < DEAD_MS) return;
    this.#silentSince = now;
    this.#clients = this.#options.connect();
    this.#options.log.warn('connecting to LND afresh: it does not answer');
  }
}
