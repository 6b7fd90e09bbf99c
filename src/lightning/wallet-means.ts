import type { Msat } from '../amount.ts';

/** What a node has on its own side of its channels, and how much more it could be paid. */
export interface WalletMeans {
  /** What it could pay now, routing aside. */
  readonly spendableMsat: Msat;
  /** What it could still receive; null where the wallet does not tell. */
  readonly receivableMsat: Msat | null;
  /** On its way, or in channels that are being opened or closed; null where the wallet does not tell. */
  readonly pendingMsat: Msat | null;
}
