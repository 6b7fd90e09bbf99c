import { createHash, randomBytes } from 'node:crypto';
import bolt11 from 'bolt11';

const REGTEST = { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };
const FEATURES = {
  word_length: 4,
  var_onion_optin: { required: true },
  payment_secret: { required: true },
  basic_mpp: { supported: true },
};

export interface ForeignInvoiceOptions {
  /** Null for an invoice that leaves the amount to its payer. */
  amountMsat?: bigint | null;
  expirySeconds?: number;
  /** How long ago it was made. */
  ageSeconds?: number;
  network?: { bech32: string; pubKeyHash: number; scriptHash: number; validWitnessVersions: number[] };
  paymentHash?: Buffer;
}

/** An invoice of a node that no test runs, signed as it should be. */
export function foreignInvoice(options: ForeignInvoiceOptions = {}): { paymentRequest: string; paymentHash: Buffer } {
  const { amountMsat = 10_000n, expirySeconds = 3600, ageSeconds = 0, network = REGTEST } = options;
  const paymentHash = options.paymentHash ?? createHash('sha256').update(randomBytes(32)).digest();
  const unsigned = bolt11.encode({
    network,
    timestamp: Math.floor(Date.now() / 1000) - ageSeconds,
    ...(amountMsat !== null && { millisatoshis: amountMsat.toString() }),
    tags: [
      { tagName: 'payment_hash', data: paymentHash.toString('hex') },
      { tagName: 'payment_secret', data: randomBytes(32).toString('hex') },
      { tagName: 'description', data: 'theirs' },
      { tagName: 'expire_time', data: expirySeconds },
      { tagName: 'min_final_cltv_expiry', data: 80 },
      { tagName: 'feature_bits', data: FEATURES },
    ],
  });
  return { paymentRequest: bolt11.sign(unsigned, randomBytes(32)).paymentRequest ?? '', paymentHash };
}
