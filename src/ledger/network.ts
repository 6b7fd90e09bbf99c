import { GatewayError } from '../errors.ts';
import type { Observe } from '../observation.ts';

/** The error class of the triggers in migrations/0020. */
const OTHER_NETWORK = 'PN001';
const TELL_AGAIN_MS = 60_000;

/**
 * The database refuses to offer, credit or pay out money if its balances are of another network than this
 * gateway's wallet. The operator is told, and the client a GatewayError
 * `lightning_unavailable`.
 */
export class OtherNetwork {
  readonly #observe: Observe;
  #toldAt = -Infinity;

  constructor(observe: Observe) {
    this.#observe = observe;
  }

  /**
   * Carries out `work`, which moves money or asks for some. Rejects with the error of `work`, or with the
   * refusal.
   */
  async refuse<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if ((error as { code?: unknown } | null)?.code !== OTHER_NETWORK) throw error;
      this.#tell(error as Error);
      const message = "Payments are off: this gateway's wallet is on another network than the balances.";
      throw new GatewayError('lightning_unavailable', { message, cause: error });
    }
  }

  /** Once a minute: an invoice that cannot be credited is tried again and again. */
  #tell(error: Error): void {
    if (performance.now() - this.#toldAt < TELL_AGAIN_MS) return;
    this.#toldAt = performance.now();
    this.#observe({ kind: 'other_network', err: error });
  }
}
