import { GatewayError } from '../errors.ts';

/** Streams that are open now, an account, in this process: each one holds memory and a connection to a provider. */
export class OpenStreams {
  readonly #limit: number;
  readonly #open = new Map<string, number>();

  /** Of all accounts. */
  get size(): number {
    let size = 0;
    for (const open of this.#open.values()) size += open;
    return size;
  }

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts a stream in; returns the function that counts it out again. Throws `rate_limit_exceeded` above the limit. */
  enter(accountId: string): () => void {
    const open = this.#open.get(accountId) ?? 0;
    if (open >= this.#limit) {
      throw new GatewayError('rate_limit_exceeded', {
        message: `Rate limit exceeded: ${this.#limit} open streams`,
        retryAfter: 1,
        limit: 'streams',
      });
    }
    this.#open.set(accountId, open + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const now = (this.#open.get(accountId) ?? 1) - 1;
      if (now > 0) this.#open.set(accountId, now);
      else this.#open.delete(accountId);
    };
  }
}
