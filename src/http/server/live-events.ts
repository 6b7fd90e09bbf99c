import type { Request, Response } from 'express';
import { GatewayError } from '../../errors.ts';
import { clientAddress, isLoopback } from './client-address.ts';
import { clientOf } from './forwarded.ts';

/** A server-sent event. */
export interface LiveEvent {
  readonly name: string;
  readonly data: object;
}

/** What somebody follows. */
export interface Followed {
  /** Whose streams count together: an account, a browser, an invoice. */
  readonly name: string;
  /** Calls back at each change; gives what ends that. */
  readonly subscribe: (listener: () => void) => () => void;
  /** What is new since the last look. `isLast`: nothing follows, and the stream ends. */
  readonly look: () => Promise<{ events: readonly LiveEvent[]; isLast?: boolean }>;
}

export interface LiveEventsOptions {
  /** Streams at once, and those of one name. */
  readonly most: number;
  readonly mostEach: number;
  /** The longest that one stream may take; without, as long as its reader stays. */
  readonly longestMs?: number;
}

/** Streams of one kind at once that one address may have; who comes from this machine may be anybody. */
const MOST_AN_ADDRESS = 100;
/** A change that was not heard of is seen after so long all the same; also what keeps idle connections open. */
const LOOK_AGAIN_MS = 5_000;
const PING = ': ping\n\n';
const HEAD = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store, no-transform', 'X-Accel-Buffering': 'no' };

/**
 * The one way in which pages follow what changes: server-sent events, one look after the other, until what is followed ends, its reader
 * leaves, or the gateway stops. Bounded for each name, for each address and for all.
 */
export class LiveEvents {
  readonly #options: LiveEventsOptions;
  readonly #open = new Map<string, number>();
  #total = 0;

  constructor(options: LiveEventsOptions) {
    this.#options = options;
  }

  /** Streams that are open. */
  get size(): number {
    return this.#total;
  }

  /** Answers with the events of what is followed. Throws `overloaded` where too many streams are open. */
  async stream(req: Request, res: Response, followed: Followed): Promise<void> {
    // Its head is all of that answer: one that did not end would keep the connection's next request waiting, which may be another client's.
    if (req.method === 'HEAD') return void res.set(HEAD).end();
    const leave = this.#enter(req, followed.name);
    try {
      res.set(HEAD).flushHeaders();
      await this.#follow(res, followed);
    } finally {
      leave();
    }
  }

  #enter(req: Request, name: string): () => void {
    const { most, mostEach } = this.#options;
    const client = clientOf(req);
    const held = [`of ${name}`, ...(isLoopback(client) ? [] : [`from ${clientAddress(client)}`])];
    const limits = [mostEach, MOST_AN_ADDRESS];
    const isFull = held.some((each, index) => (this.#open.get(each) ?? 0) >= (limits[index] ?? 0));
    if (isFull || this.#total >= most) throw new GatewayError('overloaded', { retryAfter: 5 });
    for (const each of held) this.#open.set(each, (this.#open.get(each) ?? 0) + 1);
    this.#total++;
    return () => {
      for (const each of held) {
        const left = (this.#open.get(each) ?? 1) - 1;
        if (left > 0) this.#open.set(each, left);
        else this.#open.delete(each);
      }
      this.#total--;
    };
  }

  async #follow(res: Response, { subscribe, look }: Followed): Promise<void> {
    const isOver = (): boolean => res.destroyed || res.writableEnded;
    const { longestMs } = this.#options;
    let looking: Promise<void> = Promise.resolve();
    await new Promise<void>((resolve) => {
      const lookOnce = async (): Promise<void> => {
        if (isOver()) return;
        const { events, isLast = false } = await look();
        if (isOver()) return;
        res.write(events.map(textOf).join('') || PING);
        if (isLast || isStopping(res)) res.end();
      };
      // One look after the other: an older state must never follow a newer one. One that fails is made up for by the next.
      const lookNext = (): void => {
        looking = looking.then(lookOnce).catch(() => {});
      };
      const unsubscribe = subscribe(lookNext);
      const timer = setInterval(lookNext, LOOK_AGAIN_MS);
      const over = longestMs === undefined ? undefined : setTimeout(() => res.end(), longestMs);
      const end = (): void => {
        unsubscribe();
        clearInterval(timer);
        clearTimeout(over);
        resolve();
      };
      // Its reader left before anybody listened: no close will be heard any more.
      if (res.destroyed) return end();
      res.once('close', end);
      lookNext();
    });
  }
}

function textOf({ name, data }: LiveEvent): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Whether the gateway takes no connections any more: a browser that is cut off asks again by itself, and elsewhere. */
function isStopping({ socket }: Response): boolean {
  const { server } = (socket ?? {}) as { server?: { listening?: boolean } };
  return server?.listening === false;
}
