import type { RootSecret } from '../config/secret-keys.ts';
import type { Invoice } from '../invoices/invoice.ts';
import { mppChallenge } from './mpp.ts';
import { mintToken, type Grant } from './payment-token.ts';
import type { Network } from '../lightning/wallet.ts';
import { x402Header } from './x402.ts';

export interface ChallengeOptions {
  roots: readonly RootSecret[];
  network: Network;
  grant: Grant;
  resourceUrl: string;
  /** The request's `Accept-Payment` header. */
  acceptPayment: string | undefined;
}

/**
 * The headers of a 402 that offer its invoice to agents in the dialects L402, MPP and x402. Whichever one pays, gets the same: a
 * credential that stands for the grant's key row. Where a lent token is to be topped up there is no MPP, which has no caveats.
 */
export function challengeHeaders(invoice: Invoice, options: ChallengeOptions): Record<string, string | string[]> {
  const { roots, network, grant, resourceUrl, acceptPayment } = options;
  const { bolt11, paymentHash } = invoice;
  const token = mintToken(roots, { paymentHash, grant });
  // The order satisfies parsers old and new: the ones of Aperture's time read `macaroon` and `invoice` by their place.
  const l402 = `L402 macaroon="${token}", invoice="${bolt11}", version="0", token="${token}"`;
  const mpp = grant.lent ? [] : [mppChallenge(roots, invoice, { grant, network })];
  return {
    // Some clients read the first one only.
    'WWW-Authenticate': prefersMpp(acceptPayment) ? [...mpp, l402] : [l402, ...mpp],
    'PAYMENT-REQUIRED': x402Header({ ...invoice, resourceUrl, network, token }),
  };
}

/** Whether `lightning/charge` is named, and named first. */
function prefersMpp(acceptPayment: string | undefined): boolean {
  const first = acceptPayment?.split(',').find((item) => /^\s*(l402|lightning\/charge)\s*(;|$)/i.test(item));
  return first !== undefined && !/l402/i.test(first);
}
