/** A copy of a stream, as long as it is small enough to be stored. */
export class StreamCopy {
  readonly #mostBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  add(events: Buffer): void {
    this.#bytes += events.length;
    if (this.#bytes <= this.#mostBytes) this.#chunks.push(Buffer.from(events));
    else this.#chunks = [];
  }

  /** All of it; null where it was too much. */
  bytes(): Buffer | null {
    return this.#bytes <= this.#mostBytes ? Buffer.concat(this.#chunks) : null;
  }
}
