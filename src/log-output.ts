import { writeSync } from 'node:fs';
import type { DestinationStream } from 'pino';

const RETRY_MS = 100;
const MAX_PENDING_BYTES = 1024 * 1024;

/**
 * Standard output as the log's destination. A gateway serves whether its log can be written or not: where the disk is full or
 * the reader slow, lines wait for a while, up to 1 MiB, then they are dropped and counted. pino's own destination ends the
 * process at the first such error, and hangs in trying to write on the way out.
 */
export class LogOutput implements DestinationStream {
  readonly #fd: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #dropped = 0;
  #waiting = false;
  /** Lines that were dropped since the start. */
  droppedEver = 0;

  /** A pipe must not block, or a reader that stops reading stops the gateway: asking for `process.stdout` makes it so. */
  constructor(fd: number = process.stdout.fd) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#pendingBytes > MAX_PENDING_BYTES) {
      this.#dropped++;
      this.droppedEver++;
      return;
    }
    this.#append(line);
    if (!this.#waiting) this.#flush();
  }

  #append(line: string): void {
    const bytes = Buffer.from(line);
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
  }

  #flush(): void {
    this.#waiting = false;
    let rest = this.#pending.length === 1 ? (this.#pending[0] as Buffer) : Buffer.concat(this.#pending);
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest));
    } catch {
      this.#waiting = true;
      setTimeout(() => this.#flush(), RETRY_MS).unref();
    }
    this.#pending = rest.length > 0 ? [rest] : [];
    this.#pendingBytes = rest.length;
    if (this.#waiting || this.#dropped === 0) return;
    const told = { level: 40, time: Date.now(), dropped: this.#dropped, msg: 'lines were dropped while the log could not be written' };
    this.#dropped = 0;
    this.write(`${JSON.stringify(told)}\n`);
  }
}
