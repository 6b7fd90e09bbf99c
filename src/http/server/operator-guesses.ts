import type { Request } from 'express';
import { GatewayError } from '../../errors.ts';
import type { Observe } from '../../observation.ts';
import { WindowLimit } from '../../window-limit.ts';
import { sharesOf } from './client-address.ts';
import { clientOf } from './forwarded.ts';
import { networkOf } from './sender-network.ts';

const FAILURES = 10;
const WINDOW_MS = 10 * 60_000;

/**
 * Holds back those who guess at the tokens of operators, by whichever path: ten wrong ones in ten minutes from an address, and it has to wait.
 * Every try is observed, also one that is not looked at any more.
 */
export class OperatorGuesses {
  readonly #observe: Observe;
  readonly #failures = new WindowLimit({ points: FAILURES, windowMs: WINDOW_MS });

  constructor(observe: Observe) {
    this.#observe = observe;
  }

  /**
   * The name that `identify` finds by what was shown; null where it finds none. Throws GatewayError `rate_limit_exceeded` for an address that
   * has to wait, whatever it shows: it must not learn whether a guess was right.
   */
  name(req: Request, identify: () => string | null): string | null {
    const shares = sharesOf(clientOf(req)).slice(0, 1);
    const retryAfter = this.#failures.secondsUntilFree(shares);
    const name = retryAfter > 0 ? null : identify();
    if (name !== null) return name;
    this.#observe({ kind: 'sign_in', how: 'admin', result: 'refused', network: networkOf(req) });
    if (retryAfter > 0)
      throw new GatewayError('rate_limit_exceeded', { message: `Too many tries. Wait ${retryAfter} s.`, retryAfter, limit: 'sign_in' });
    this.#failures.take(shares);
    return null;
  }
}
