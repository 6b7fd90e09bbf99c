import bolt11 from 'bolt11';
import type { Pool } from '../db/postgres.ts';
import { auditedPlaces, auditedUpTo, Progress } from '../lightning/audited-places.ts';
import type { Comparison } from './compare-received.ts';
import type { BookedPayment, BookPage } from '../lightning/node-books.ts';
import { forgetOrphan, noteOrphan } from '../invoices/orphans.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { WithdrawalRow } from '../withdrawals/withdrawal.ts';
import { recordAsSent } from '../withdrawals/withdrawals.ts';

type KnownWithdrawal = Pick<WithdrawalRow, 'id' | 'payment_hash' | 'state' | 'amount_msat' | 'fee_msat' | 'fee_limit_msat'>;

/**
 * Walks the node's list of payments, all of it where `full`, else from where all was final. A payment that is no withdrawal of ours, or
 * of one that counts as failed, is noted as an orphan: the ledger may have lost it. One that was never recorded as sent is so now.
 */
export async function comparePaid(
  pool: Pool,
  { nodeId }: Pick<Wallet, 'nodeId'>,
  list: (after: bigint) => Promise<BookPage<BookedPayment>>,
  { full }: { full: boolean },
): Promise<Comparison> {
  const comparison: Comparison = { violations: [], foreign: 0 };
  const places = await auditedPlaces(pool, nodeId);
  const progress = new Progress(full ? 0n : places.paymentIndex);
  for (let after = progress.reached, more = true; more;) {
    const page = await list(after);
    const known = await knownWithdrawals(pool, nodeId, page.entries);
    for (const entry of page.entries) {
      const withdrawal = known.get(entry.paymentHash.toString('hex'));
      const isDone = withdrawal
        ? await compareKnown(pool, nodeId, entry, withdrawal, comparison)
        : await compareUnknown(pool, nodeId, entry, places.metAt, comparison);
      progress.passed(entry.index, isDone);
      after = entry.index;
    }
    ({ more } = page);
    await auditedUpTo(pool, nodeId, 'payment_index', progress.reached, places.metAt);
  }
  return comparison;
}

/** Both give whether the payment need not be looked at again. */
async function compareUnknown(pool: Pool, nodeId: string, payment: BookedPayment, metAt: Date, comparison: Comparison): Promise<boolean> {
  if (payment.status === 'failed') {
    await forgetOrphan(pool, nodeId, payment.paymentHash);
    return true;
  }
  // A withdrawal pays somebody else's invoice: keysends and what the node pays to itself, to move its channels' balances, are none.
  if (payment.createdAt < metAt || payment.bolt11 === null || payeeOf(payment.bolt11) === nodeId) {
    comparison.foreign++;
    return true;
  }
  await notePaid(pool, nodeId, payment);
  return payment.status === 'paid';
}

async function compareKnown(
  pool: Pool,
  nodeId: string,
  payment: BookedPayment,
  withdrawal: KnownWithdrawal,
  { violations }: Comparison,
): Promise<boolean> {
  switch (withdrawal.state) {
    case 'creating':
      if (payment.status !== 'failed') await recordAsSent(pool, withdrawal.id);
      return false;
    case 'sent':
      return false;
    case 'failed':
      if (payment.status === 'failed') await forgetOrphan(pool, nodeId, payment.paymentHash);
      else await notePaid(pool, nodeId, payment);
      return payment.status !== 'pending';
    case 'paid': {
      // What is over the limit is the house's.
      const fee = payment.feeMsat < withdrawal.fee_limit_msat ? payment.feeMsat : withdrawal.fee_limit_msat;
      const paid = payment.status === 'paid' ? payment.amountMsat + fee : 0n;
      const booked = withdrawal.amount_msat + (withdrawal.fee_msat ?? 0n);
      if (paid === booked) return true;
      const rule = 'what the node paid for a withdrawal is what was booked';
      violations.push({ invariant: 9, rule, subject: withdrawal.id, expected: String(paid), found: String(booked) });
      return false;
    }
  }
}

async function notePaid(pool: Pool, nodeId: string, payment: BookedPayment): Promise<void> {
  const { paymentHash, amountMsat, feeMsat, status, bolt11: text, createdAt: happenedAt } = payment;
  const made = { direction: 'paid', paymentHash, amountMsat, feeMsat, pending: status === 'pending', bolt11: text } as const;
  await noteOrphan(pool, nodeId, { ...made, description: null, happenedAt });
}

async function knownWithdrawals(pool: Pool, nodeId: string, payments: readonly BookedPayment[]): Promise<Map<string, KnownWithdrawal>> {
  const { rows } = await pool.query<KnownWithdrawal>(
    `select id, payment_hash, state, amount_msat, fee_msat, fee_limit_msat from withdrawals where node_id = $1 and payment_hash = any($2)`,
    [nodeId, payments.map(({ paymentHash }) => paymentHash)],
  );
  return new Map(rows.map((row) => [row.payment_hash.toString('hex'), row]));
}

/** The node that an invoice pays; undefined where it cannot be read, as an offer's cannot. */
function payeeOf(text: string): string | undefined {
  try {
    const signet = { bech32: 'tbs', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };
    return bolt11.decode(text, text.toLowerCase().startsWith('lntbs') ? signet : undefined).payeeNodeKey;
  } catch {
    return undefined;
  }
}
