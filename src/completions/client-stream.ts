import type { ServerResponse } from 'node:http';
import type { Head } from './head.ts';

/** What is in between (load balancers, CDNs) cuts connections that are silent for a minute, some for less. */
const PING_AFTER_MS = 15_000;
/** One line feed and no blank line: deployed decoders dispatch at every blank line, with or without data. */
const PING = ': ping\n';

/** The head of a stream, and the model that it names. */
export interface StreamHead {
  head: () => Head;
  model: string | null;
}

/** Where the events of a streamed answer go: to the client, or to what holds them back. */
export interface StreamClient {
  readonly res: ServerResponse;
  /** True once something of an answer was delivered: no other candidate may answer any more. */
  delivered: boolean;
  /** The model that the head named when it went out. */
  readonly namedModel: string | null;
  /** Whether the head has gone out: from then on a failure can only be told in the stream. */
  readonly opened: boolean;
  /** Whether the client does not see what is written here: what dies with it costs nothing. */
  readonly withheld: boolean;
  /** What the head will say, unless it has gone out. */
  setHead(head: StreamHead): void;
  /** Writes whole events; false where the client does not keep up. */
  write(events: Buffer | string): boolean;
  /** Writes the last events and ends the answer. */
  end(events: Buffer | string): void;
  /** No more signs of life. */
  close(): void;
}

/**
 * The client's end of a streamed answer. From the request on it shows signs of life: after 15 seconds of silence the head and a ping go out,
 * whatever is being waited for. What is written here are whole events, so that no ping ever stands inside one.
 */
export class ClientStream implements StreamClient {
  readonly res: ServerResponse;
  readonly withheld = false;
  delivered = false;
  namedModel: string | null = null;
  #head: StreamHead;
  #lastWriteAt = performance.now();
  #timer: NodeJS.Timeout;
  readonly #pingAfterMs: number;

  constructor(res: ServerResponse, head: StreamHead, pingAfterMs = PING_AFTER_MS) {
    this.res = res;
    this.#head = head;
    this.#pingAfterMs = pingAfterMs;
    this.#timer = setTimeout(this.#tick, pingAfterMs);
  }

  get opened(): boolean {
    return this.res.headersSent;
  }

  setHead(head: StreamHead): void {
    this.#head = head;
  }

  write(events: Buffer | string): boolean {
    if (!this.opened) {
      this.namedModel = this.#head.model;
      this.res.writeHead(200, this.#head.head());
    }
    this.#lastWriteAt = performance.now();
    return this.res.write(events);
  }

  end(events: Buffer | string): void {
    this.close();
    this.write(events);
    this.res.end();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  readonly #tick = (): void => {
    const silentMs = performance.now() - this.#lastWriteAt;
    const due = silentMs >= this.#pingAfterMs;
    if (this.res.destroyed || this.res.writableEnded) return;
    if (due && !this.res.writableNeedDrain) this.write(PING);
    this.#timer = setTimeout(this.#tick, due ? this.#pingAfterMs : this.#pingAfterMs - silentMs);
  };
}
