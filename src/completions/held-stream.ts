import type { ServerResponse } from 'node:http';
import type { StreamClient } from './client-stream.ts';

/** Far above any answer within its output cap; every stream under a cascade may hold as much. */
const MOST_BYTES = 16 * 1024 * 1024;

/**
 * Stands in for the client of a stream that is yet to be judged: keeps its events, and shows the client none of them. The client's own end goes
 * on to show signs of life.
 */
export class HeldStream implements StreamClient {
  readonly res: ServerResponse;
  readonly withheld = true;
  readonly namedModel = null;
  readonly opened = false;
  delivered = false;
  readonly #onFull: () => void;
  #events: Buffer[] = [];
  #bytes = 0;

  /** @param onFull told where the stream is too long to be held. */
  constructor(client: StreamClient, onFull: () => void) {
    this.res = client.res;
    this.#onFull = onFull;
  }

  /** The head waits for the judgement. */
  setHead(): void {}

  write(events: Buffer | string): boolean {
    const bytes = Buffer.from(events);
    this.#bytes += bytes.length;
    if (this.#bytes > MOST_BYTES) {
      this.#events = [];
      this.#onFull();
    } else this.#events.push(bytes);
    return true;
  }

  end(events: Buffer | string): void {
    this.write(events);
  }

  close(): void {}

  /** All that was written. */
  events(): Buffer {
    return Buffer.concat(this.#events);
  }
}
