import type { PicoUsdPerMsat } from '../amount.ts';

/** How a movement of a wallet came about: by an invoice, a payment for a request without a key, a Lightning Address, autopay, or LNURL. */
export type Via = 'invoice' | 'l402' | 'address' | 'autopay' | 'lnurl';

/** What a statement tells of a deposit, a withdrawal or an adjustment besides its amount. All of it may be unknown. */
export interface Movement {
  /** The exchange rate of the moment. */
  picoUsdPerMsat?: PicoUsdPerMsat | null | undefined;
  via?: Via | null | undefined;
  /** The payer's comment, or the reason. Anybody may have written it. */
  note?: string | null | undefined;
}

const LONGEST_NOTE = 1_000;

/** A note as it is kept: no NUL, no half of a character, not endless; null where nothing is left. */
export function noteOf({ note }: Movement): string | null {
  const kept = (note ?? '').replaceAll('\0', '').slice(0, LONGEST_NOTE).toWellFormed();
  return kept === '' ? null : kept;
}
