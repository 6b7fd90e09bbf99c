import type { Request } from 'express';
import { msat } from '../../amount.ts';
import { GatewayError } from '../../errors.ts';
import type { Lnurl } from '../../lnurl/open-lnurl.ts';
import { sharesOf } from '../server/client-address.ts';
import { clientOf } from '../server/forwarded.ts';
import { parameterOf, type LnurlPath } from './lnurl-answers.ts';

/** A safe integer: wallets send JSON's numbers. */
const AMOUNT = /^\d{1,15}$/;
const PAYMENT_HASH = /^[0-9a-f]{64}$/i;

/** What the wallets of payers ask for: what may be paid to a Lightning Address, an invoice for it, and whether it was paid. */
export function addressPaths(deps: { lnurl: Pick<Lnurl, 'addresses'> }): Record<'payRequest' | 'pay' | 'verify', LnurlPath> {
  return {
    payRequest: (req, origin) => deps.lnurl.addresses.payRequest(handleOf(req), origin),

    async pay(req, origin) {
      const amount = parameterOf(req, 'amount') ?? '';
      if (!AMOUNT.test(amount))
        throw new GatewayError('invalid_request', { message: 'The amount must be a number of millisats.', param: 'amount' });
      const wanted = { handle: handleOf(req), amountMsat: msat(BigInt(amount)), comment: parameterOf(req, 'comment') };
      const { bolt11, paymentHash } = await deps.lnurl.addresses.invoice({ ...wanted, shares: sharesOf(clientOf(req)) }, origin);
      return { pr: bolt11, routes: [], verify: `${origin}/lnurl/verify/${paymentHash.toString('hex')}` };
    },

    async verify(req) {
      const hash = String(req.params['hash']);
      if (!PAYMENT_HASH.test(hash)) throw new GatewayError('not_found', { message: 'Not found' });
      return deps.lnurl.addresses.verify(Buffer.from(hash, 'hex'));
    },
  };
}

/** People write addresses in capitals too. */
function handleOf(req: Request): string {
  return String(req.params['name']).toLowerCase();
}
