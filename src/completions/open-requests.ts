import { GatewayError } from '../errors.ts';
import { SwapList } from '../swap-list.ts';
import type { Cancellation } from './cancellation.ts';

/** The requests that are inside: who may come in, and what ends all of them when the process stops. */
export class OpenRequests {
  readonly #underWay = new SwapList<Cancellation>();
  /** Requests that have come in and are not answered, dispatched or not. */
  #inside = 0;
  /** Those of them that came in since the last turnover. */
  #generation = new Generation();
  /** Resolves once those of all turnovers before have left. */
  #former: Promise<unknown> = Promise.resolve();
  /** Why nothing is served for now, as clients are told; null while all is well. */
  suspended: string | null = null;
  /** Set once no more requests are taken. */
  #onEmpty: (() => void) | undefined;

  /** Requests that are admitted and not ended. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** Lets a request in; what it returns lets the request out. Throws `overloaded` where none is let in. */
  enter(): () => void {
    if (this.#onEmpty)
      throw new GatewayError('overloaded', { message: 'The gateway is stopping.', retryAfter: 1, headers: { Connection: 'close' } });
    if (this.suspended !== null) throw new GatewayError('overloaded', { message: this.suspended, retryAfter: 60 });
    this.#inside++;
    const generation = this.#generation;
    generation.inside++;
    return () => {
      this.#inside--;
      generation.leave();
      if (this.#inside === 0) this.#onEmpty?.();
    };
  }

  /** Notes what gives an admitted request up. */
  begin(cancellation: Cancellation): void {
    this.#underWay.add(cancellation);
  }

  end(cancellation: Cancellation): void {
    this.#underWay.delete(cancellation);
  }

  /** Resolves once all requests that are inside now have been answered. Those of the turnover before may be among the last. */
  async turnOver(): Promise<void> {
    const before = this.#generation;
    this.#generation = new Generation();
    this.#former = Promise.all([this.#former, before.emptied()]);
    await this.#former;
  }

  /** Takes no more requests; resolves once those that are inside have been answered. */
  async close(): Promise<void> {
    const emptied = new Promise<void>((resolve) => (this.#onEmpty = resolve));
    if (this.#inside > 0) await emptied;
  }

  /** Ends every request under way: what was delivered is charged, the rest is released. */
  stop(): void {
    for (const cancellation of this.#underWay) cancellation.cancel('shutdown');
  }
}

/** The requests that came in between two turnovers. */
class Generation {
  inside = 0;
  #onEmpty: (() => void) | undefined;

  leave(): void {
    this.inside--;
    if (this.inside === 0) this.#onEmpty?.();
  }

  async emptied(): Promise<void> {
    if (this.inside > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }
}
