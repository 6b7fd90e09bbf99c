/**
 * What a wallet said when it was asked to pay: `PAID`, its own code (NIP-47), `SILENT` for no answer that could be read. `OWN_WALLET` and
 * `SECRET_GONE` are our own reasons for not asking it at all.
 */
export type WalletWord = (typeof WORDS)[number];

const CODES = [
  'RATE_LIMITED',
  'NOT_IMPLEMENTED',
  'INSUFFICIENT_BALANCE',
  'QUOTA_EXCEEDED',
  'RESTRICTED',
  'UNAUTHORIZED',
  'INTERNAL',
  'UNSUPPORTED_ENCRYPTION',
  'OTHER',
  'PAYMENT_FAILED',
  'NOT_FOUND',
  'EXPIRED',
  'BAD_REQUEST',
] as const;
const WORDS = [...CODES, 'PAID', 'SILENT', 'OWN_WALLET', 'SECRET_GONE'] as const;

/** The word for a code of a wallet's: what nobody knows is `OTHER`. */
export function wordOf(code: string): WalletWord {
  return CODES.find((known) => known === code) ?? 'OTHER';
}

/** What follows where our node says that the invoice was not paid. */
export type Consequence =
  /** Later again, and after some failures not by itself any more. */
  | 'back_off'
  /** Once the wallet has a budget again. */
  | 'await_budget'
  /** The connection is of no use any more: its owner is told. */
  | 'stop';

const CONSEQUENCES: Partial<Record<WalletWord, Consequence>> = {
  QUOTA_EXCEEDED: 'await_budget',
  UNAUTHORIZED: 'stop',
  RESTRICTED: 'stop',
  EXPIRED: 'stop',
  NOT_IMPLEMENTED: 'stop',
  UNSUPPORTED_ENCRYPTION: 'stop',
  OWN_WALLET: 'stop',
  SECRET_GONE: 'stop',
};

export function consequenceOf(word: WalletWord): Consequence {
  return CONSEQUENCES[word] ?? 'back_off';
}

/** After so many failures in a row, the owner has to look. */
const MOST_FAILURES = 3;
/** The pause after the first failure, and after the second. */
const BACK_OFF_SECONDS = [5 * 60, 30 * 60];

/** How long the pause is after a failure, the first being 1; null where the owner has to look first. */
export function backOffSeconds(failures: number): number | null {
  return failures >= MOST_FAILURES ? null : (BACK_OFF_SECONDS[failures - 1] ?? null);
}

/** Why autopay does not go on, as a part of a sentence: "your wallet says …". */
const REASONS: Record<WalletWord | 'OWNER' | 'DAY_LIMIT' | 'NO_OWNER_KEY', string> = {
  PAID: 'your wallet says that it has paid, but no payment arrived',
  SILENT: 'your wallet did not answer',
  RATE_LIMITED: 'your wallet says that it is asked too often',
  NOT_IMPLEMENTED: 'your wallet does not pay by this connection',
  INSUFFICIENT_BALANCE: 'your wallet says its balance is too low',
  QUOTA_EXCEEDED: 'your wallet says its budget is used up',
  RESTRICTED: 'your wallet says that this connection may not pay',
  UNAUTHORIZED: 'your wallet does not know this connection any more',
  INTERNAL: 'your wallet could not pay, and did not say why',
  UNSUPPORTED_ENCRYPTION: 'your wallet does not speak the encryption of this connection',
  OTHER: 'your wallet could not pay, and did not say why',
  PAYMENT_FAILED: 'your wallet found no way to pay',
  NOT_FOUND: 'your wallet could not pay, and did not say why',
  EXPIRED: 'your wallet says that this connection has expired',
  BAD_REQUEST: 'your wallet could not pay, and did not say why',
  OWN_WALLET: "this is the gateway's own wallet, which cannot pay itself",
  SECRET_GONE: 'the connection cannot be read any more: store it again',
  OWNER: 'you paused it',
  DAY_LIMIT: "today's limit is reached",
  NO_OWNER_KEY: 'the account has no owner key without an expiry',
};

/** Why autopay is not going on: a wallet's word, or our own. */
export type Reason = keyof typeof REASONS;

export function reasonSentence(reason: Reason): string {
  return REASONS[reason];
}
