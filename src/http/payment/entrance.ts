import type { Request } from 'express';
import type { ApiKey, Principal } from '../../accounts/api-key.ts';
import type { RateLimit } from '../../admission/rate-limit.ts';
import type { Config } from '../../config/config.ts';
import { GatewayError } from '../../errors.ts';
import { WindowLimit, type Share } from '../../window-limit.ts';
import type { BodyHolder } from '../server/body-intake.ts';
import { clientAddress, isLoopback, sharesOf } from '../server/client-address.ts';
import { clientOf } from '../server/forwarded.ts';
import { readBody } from '../server/json-body.ts';
import type { Unpaid } from './payers.ts';
import type { PaymentOffers } from './payment-offers.ts';

export interface EntranceDeps {
  rateLimit: Pick<RateLimit, 'refuseExhausted' | 'countRefusal'>;
  offers: Pick<PaymentOffers, 'refuseSpent'>;
  config: Pick<Config, 'BODY_LIMIT_MB' | 'RATE_LIMIT_RPM'>;
}

const MINUTE_MS = 60_000;
const MB = 1024 * 1024;
/** Of a request without a credential. */
const STRANGER_BODY_BYTES = MB;

/** What a body may be, and whose it counts as, while it is received. */
interface Allowance {
  readonly bodyLimitBytes: number;
  readonly holder: BodyHolder;
}

/** What an inference request must pass before its body is read: whoever sends too much of anything is refused before that costs more. */
export class Entrance {
  readonly #deps: EntranceDeps;
  /** Requests a minute without a credential, and with one that has not been paid for: by the sender's address. */
  readonly #strangers: WindowLimit;
  readonly #debtors: WindowLimit;

  constructor(deps: EntranceDeps) {
    this.#deps = deps;
    const limit = { points: deps.config.RATE_LIMIT_RPM, windowMs: MINUTE_MS };
    this.#strangers = new WindowLimit(limit);
    this.#debtors = new WindowLimit(limit);
  }

  /** The body, once it has come. Throws `rate_limit_exceeded` and `too_many_invoices` at once, and rejects as `readBody` does. */
  receive(req: Request, payer: Principal | Unpaid | null): Promise<Buffer> {
    const { bodyLimitBytes, holder } = this.#admit(req, payer);
    return readBody(req, bodyLimitBytes, { holder });
  }

  /** Counts a request that was refused for what it says as one of its key's: it has cost its reading. */
  refused(payer: Principal | Unpaid | null, error: unknown): void {
    const key = keyOf(payer);
    if (key && error instanceof GatewayError && REFUSED.has(error.status)) this.#deps.rateLimit.countRefusal(key);
  }

  #admit(req: Request, payer: Principal | Unpaid | null): Allowance {
    const { rateLimit, offers, config } = this.#deps;
    const key = keyOf(payer);
    if (key) rateLimit.refuseExhausted(key);
    const bodyLimitBytes = config.BODY_LIMIT_MB * MB;
    if (key && !isUnpaid(payer)) return { bodyLimitBytes, holder: { name: key.accountId, isKnown: true } };
    const client = clientOf(req);
    takeOne(payer ? this.#debtors : this.#strangers, client);
    const holder = { name: clientAddress(client), isKnown: false };
    // Who shows a payment that has not been heard of yet may well have made it.
    if (payer) return { bodyLimitBytes, holder };
    offers.refuseSpent(req);
    return { bodyLimitBytes: Math.min(bodyLimitBytes, STRANGER_BODY_BYTES), holder };
  }
}

function takeOne(limit: WindowLimit, client: string | undefined): void {
  const retryAfter = limit.take(sharesOf(client));
  if (retryAfter === 0) return;
  const message = `Rate limit exceeded: ${limit.points} RPM from one address that has not paid`;
  throw new GatewayError('rate_limit_exceeded', { message, retryAfter, limit: 'address' });
}

/** The statuses of what a request says wrongly, which is found out before anything is taken from the rate limits. */
const REFUSED = new Set([400, 404, 413, 415]);

function isUnpaid(payer: Principal | Unpaid | null): payer is Unpaid {
  return payer !== null && 'unpaid' in payer;
}

function keyOf(payer: Principal | Unpaid | null): ApiKey | null {
  return payer?.key ?? null;
}

/**
 * The networks whose shares of what is free for all a request takes from. Where every sender comes from this machine, by a proxy that nobody
 * trusts, one cannot be told from the other, and there are none.
 */
export function networksOf(req: Request, { TRUSTED_PROXIES }: Pick<Config, 'TRUSTED_PROXIES'>): readonly Share[] {
  const client = clientOf(req);
  return TRUSTED_PROXIES.length === 0 && isLoopback(client) ? [] : sharesOf(client);
}
