import type { RequestHandler } from 'express';
import { z } from 'zod';
import { msat } from '../../amount.ts';
import type { SimulatedWallet } from '../../lightning/simulated/simulated.ts';
import { readJson } from '../server/json-body.ts';
import { refuseForwarded, refuseOtherSites, type OwnSiteConfig } from '../server/own-site.ts';

const MOST_MSAT = 2_000_000_000;
/** What the simulated node is to pay. */
export const payBody = z.strictObject({
  paymentRequest: z.string().min(1).max(4096),
  /** What to pay where it is not what the invoice asks for. */
  amountMsat: z.int().min(1).max(MOST_MSAT).optional(),
});

/** The handler that pays an invoice of the simulated node with play money, as a payer's wallet would: `{paymentRequest}` → `{preimage}` in hex. */
export function payWithPlayMoney({ wallet, config }: { wallet: SimulatedWallet; config: OwnSiteConfig }): RequestHandler {
  return async (req, res) => {
    refuseForwarded(req);
    refuseOtherSites(req, config);
    const { paymentRequest, amountMsat } = await readJson(req, payBody);
    const preimage = await wallet.pay(
      paymentRequest.replace(/^lightning:/i, ''),
      amountMsat === undefined ? undefined : msat(BigInt(amountMsat)),
    );
    res.set('Cache-Control', 'no-store').json({ preimage: preimage.toString('hex') });
  };
}
