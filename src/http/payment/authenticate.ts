import type { Request, RequestHandler } from 'express';
import type { Principal } from '../../accounts/api-key.ts';
import { GatewayError } from '../../errors.ts';
import { msat } from '../../amount.ts';
import type { IdentifyOptions, Payers } from './payers.ts';
import type { PaymentOffers } from './payment-offers.ts';

/** Finds out who a request acts for. */
export interface Authenticate {
  /**
   * The principal of the request's credential. Throws `invalid_api_key` where it is missing, malformed, unknown,
   * revoked or expired, without telling which, `invalid_request` where credentials contradict each other, and a 402 with an
   * invoice where a credential's payment has not come.
   */
  (req: Request, options?: IdentifyOptions): Promise<Principal>;
}

/** For whatever needs a principal; the inference paths also serve who is yet to pay, and ask `payers` themselves. */
export function createAuthenticate(payers: Pick<Payers, 'identify'>, offers: Pick<PaymentOffers, 'refuse'>): Authenticate {
  return async (req, options) => {
    const payer = await payers.identify(req, options);
    if (!payer) throw new GatewayError('invalid_api_key');
    if ('unpaid' in payer) throw await offers.refuse(req, payer, { shortfallMsat: msat(0n) });
    return payer;
  };
}

/** Middleware that lets only authenticated requests on, with the principal in `res.locals.principal`. */
export function requireKey(authenticate: Authenticate): RequestHandler {
  return async (req, res, next) => {
    const principal = await authenticate(req);
    (res.locals as { principal?: Principal }).principal = principal;
    if (principal.receipt) res.set('Payment-Receipt', principal.receipt);
    next();
  };
}

/** The principal that `requireKey` found. */
export function principalOf(res: { locals: Record<string, unknown> }): Principal {
  const principal = res.locals['principal'] as Principal | undefined;
  if (!principal) throw new GatewayError('invalid_api_key');
  return principal;
}
