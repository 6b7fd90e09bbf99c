import { msat, type Msat } from '../amount.ts';

/** Money on its way out of an account's wallet, as the gateway keeps it. */
export interface Withdrawal {
  readonly id: string;
  readonly accountId: string;
  readonly state: 'creating' | 'sent' | 'paid' | 'failed';
  readonly bolt11: string;
  readonly paymentHash: Buffer;
  readonly amountMsat: Msat;
  readonly feeLimitMsat: Msat;
  /** Set once the withdrawal is paid. */
  readonly feeMsat: Msat | null;
  /**
   * Set once the withdrawal has failed: a `PaymentFailure`; `not_sent` or `unknown_to_node` if no node ever
   * tried; `given_up` by the operator's word.
   */
  readonly failure: string | null;
  readonly createdAt: Date;
  /** The invoice's own expiry. */
  readonly expiresAt: Date;
  /** How often the node was asked about the payment. */
  readonly checks: number;
  /** Whether the node has said that it knows the payment. */
  readonly known: boolean;
  /** How often in a row the node said that it knows no such payment, at a time when that counts. */
  readonly notFound: number;
  /** Whether a wallet asked for the withdrawal by a code (LUD-03). */
  readonly byCode: boolean;
}

/**
 * A withdrawal in the API. `feeMsat` is null until the withdrawal is paid; until then, the amount and
 * `maxFeeMsat` are reserved. If the node knows nothing of the payment, they stay reserved until the invoice
 * can no longer be paid, a little after its expiry.
 */
export interface WithdrawalView {
  withdrawalId: string;
  status: 'pending' | 'paid' | 'failed';
  amountMsat: number;
  feeMsat: number | null;
  maxFeeMsat: number;
  paymentHash: string;
  failure: string | null;
  createdAt: string;
}

export function withdrawalView(withdrawal: Withdrawal): WithdrawalView {
  const { id, state, amountMsat, feeMsat, feeLimitMsat, paymentHash, failure, createdAt } = withdrawal;
  return {
    withdrawalId: id,
    status: state === 'paid' || state === 'failed' ? state : 'pending',
    amountMsat: Number(amountMsat),
    feeMsat: feeMsat === null ? null : Number(feeMsat),
    maxFeeMsat: Number(feeLimitMsat),
    paymentHash: paymentHash.toString('hex'),
    failure,
    createdAt: createdAt.toISOString(),
  };
}

/** A row of `withdrawals`. */
export interface WithdrawalRow {
  id: string;
  account_id: string;
  state: Withdrawal['state'];
  bolt11: string;
  payment_hash: Buffer;
  amount_msat: bigint;
  fee_limit_msat: bigint;
  fee_msat: bigint | null;
  failure: string | null;
  created_at: Date;
  expires_at: Date;
  checks: number;
  known_at: Date | null;
  not_found: number;
  idempotency_sha256: Buffer;
  by_code: boolean;
}

/** Begins the idempotency keys of withdrawals by a code. */
export const BY_CODE = 'lnurlw:';

/** The columns of a `WithdrawalRow`. */
export const WITHDRAWAL_COLUMNS = `id, account_id, state, bolt11, payment_hash, amount_msat, fee_limit_msat, fee_msat, failure, created_at, expires_at,
  checks, known_at, not_found, idempotency_sha256, coalesce(idempotency_key like '${BY_CODE}%', false) as by_code`;

export function withdrawalFromRow(row: WithdrawalRow): Withdrawal {
  return {
    id: row.id,
    accountId: row.account_id,
    state: row.state,
    bolt11: row.bolt11,
    paymentHash: row.payment_hash,
    amountMsat: msat(row.amount_msat),
    feeLimitMsat: msat(row.fee_limit_msat),
    feeMsat: row.fee_msat === null ? null : msat(row.fee_msat),
    failure: row.failure,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    checks: row.checks,
    known: row.known_at !== null,
    notFound: row.not_found,
    byCode: row.by_code,
  };
}
