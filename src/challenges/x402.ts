import { z } from 'zod';
import type { Network } from '../lightning/wallet.ts';

export interface X402Offer {
  /** What is asked for, as the client addressed it. */
  resourceUrl: string;
  bolt11: string;
  amountSat: number;
  expiresAt: Date;
  network: Network;
  /** Must come back with the payment: an invoice is public and proves nothing. */
  token: string;
}

/** The chain as CAIP-2 names it: the first 16 bytes of its genesis block's hash (https://chainagnostic.org/CAIPs/caip-4). */
const CHAINS: Record<Network, string> = {
  mainnet: 'bip122:000000000019d6689c085ae165831e93',
  testnet: 'bip122:000000000933ea01ad0ee984209779ba',
  signet: 'bip122:00000008819873e925422c1ff0f99f7c',
  regtest: 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328',
  simulated: 'bip122:0f9188f13cb7b2c71f2a335e3a4fc328',
};
const LONGEST_SIGNATURE = 12_000;

const signatureSchema = z.object({
  x402Version: z.literal(2),
  payload: z.object({ invoice: z.string() }),
  accepted: z.object({ extra: z.object({ invoice: z.string(), token: z.string() }) }),
});

/** The `PAYMENT-REQUIRED` header of x402, version 2, scheme `exact` on Lightning (https://github.com/coinbase/x402). */
export function x402Header({ resourceUrl, bolt11, amountSat, expiresAt, network, token }: X402Offer): string {
  const secondsLeft = Math.floor((expiresAt.getTime() - Date.now()) / 1000);
  const offer = {
    x402Version: 2,
    error: 'Payment required',
    resource: { url: resourceUrl, description: 'A top-up, good until it is spent', mimeType: 'application/json' },
    accepts: [
      {
        scheme: 'exact',
        network: CHAINS[network],
        amount: String(amountSat * 1000),
        asset: 'BTC',
        payTo: 'anonymous',
        maxTimeoutSeconds: Math.max(0, secondsLeft),
        extra: { paymentMethod: 'lightning', invoice: bolt11, token },
      },
    ],
  };
  return Buffer.from(JSON.stringify(offer)).toString('base64');
}

/** The invoice and token of a `payment-signature` header; null where it is malformed or speaks of two invoices. */
export function readX402Signature(header: string): { bolt11: string; token: string } | null {
  if (header.length > LONGEST_SIGNATURE) return null;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(header, 'base64').toString());
  } catch {
    return null;
  }
  const parsed = signatureSchema.safeParse(value);
  if (!parsed.success) return null;
  const { invoice, token } = parsed.data.accepted.extra;
  return parsed.data.payload.invoice === invoice ? { bolt11: invoice, token } : null;
}
