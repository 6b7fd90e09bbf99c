import type { Pool } from '../db/postgres.ts';
import type { Violation } from '../ledger/audit.ts';
import { msat } from '../amount.ts';
import { auditedPlaces, auditedUpTo, metBefore, Progress } from '../lightning/audited-places.ts';
import { isUnderOurName } from '../invoices/invoice-seal.ts';
import type { BookedInvoice, BookPage } from '../lightning/node-books.ts';
import { noteOrphan, type Orphan } from '../invoices/orphans.ts';
import type { InvoiceState, Wallet } from '../lightning/wallet.ts';

/** What settled a moment ago may still be on its way into the ledger. */
export const GRACE_MS = 10_000;
export const RECEIVED_RULE = 'what the node received for an invoice is what was deposited';

export interface Comparison {
  violations: Violation[];
  /** Entries that have to do with neither our invoices nor our withdrawals: the node is used for more than this gateway. */
  foreign: number;
}

interface KnownInvoice {
  id: string;
  payment_hash: Buffer;
  deposited_msat: bigint;
}

/**
 * Walks the node's list of invoices, all of it where `full`, else from where all was final. What it received and was not deposited is a
 * violation; where the ledger does not even know the invoice and it is under our name, an orphan is noted, and since when the node is ours.
 */
export async function compareReceived(
  pool: Pool,
  { nodeId }: Pick<Wallet, 'nodeId'>,
  list: (after: bigint) => Promise<BookPage<BookedInvoice>>,
  { full }: { full: boolean },
): Promise<Comparison> {
  const comparison: Comparison = { violations: [], foreign: 0 };
  const { invoiceIndex, metAt } = await auditedPlaces(pool, nodeId);
  const progress = new Progress(full ? 0n : invoiceIndex);
  for (let after = progress.reached, more = true; more;) {
    const page = await list(after);
    const known = await knownInvoices(pool, nodeId, page.entries);
    for (const entry of page.entries) {
      const invoice = known.get(entry.paymentHash.toString('hex'));
      if (!invoice && isUnderOurName(entry.description) && entry.createdAt < metAt) await metBefore(pool, nodeId, entry.createdAt);
      progress.passed(entry.index, await compareOne(pool, nodeId, entry, invoice, comparison));
      after = entry.index;
    }
    ({ more } = page);
    await auditedUpTo(pool, nodeId, 'invoice_index', progress.reached);
  }
  return comparison;
}

/** Gives whether the entry need not be looked at again. */
async function compareOne(
  pool: Pool,
  nodeId: string,
  entry: InvoiceState,
  invoice: KnownInvoice | undefined,
  comparison: Comparison,
): Promise<boolean> {
  if (!invoice) {
    const orphan = receivedOrphan(entry);
    if (orphan) await noteOrphan(pool, nodeId, orphan);
    if (isUnderOurName(entry.description)) return entry.status !== 'open';
    comparison.foreign++;
    return true;
  }
  if (entry.status !== 'settled') return entry.status === 'canceled';
  const received = entry.receivedMsat ?? 0n;
  if (received === invoice.deposited_msat) return true;
  if (invoice.deposited_msat !== 0n || Date.now() - (entry.settledAt?.getTime() ?? 0) >= GRACE_MS) {
    const found = String(invoice.deposited_msat);
    comparison.violations.push({ invariant: 9, rule: RECEIVED_RULE, subject: invoice.id, expected: String(received), found });
  }
  return false;
}

/** The orphan that a state is where the ledger does not know its invoice; undefined where it received nothing, or is not under our name. */
export function receivedOrphan({ status, paymentHash, receivedMsat = msat(0n), ...state }: InvoiceState): Orphan | undefined {
  const { description, bolt11 = null, settledAt: happenedAt = null } = state;
  if (status !== 'settled' || receivedMsat === 0n || description === undefined || !isUnderOurName(description)) return undefined;
  const received = { direction: 'received', paymentHash, amountMsat: receivedMsat, feeMsat: msat(0n), pending: false } as const;
  return { ...received, bolt11, description, happenedAt };
}

async function knownInvoices(pool: Pool, nodeId: string, states: readonly InvoiceState[]): Promise<Map<string, KnownInvoice>> {
  const { rows } = await pool.query<KnownInvoice>(
    `select i.id, i.payment_hash, coalesce(t.amount_msat, 0)::bigint as deposited_msat
     from invoices i left join transfers t on t.id = i.transfer_id and t.kind = 'deposit'
     where i.node_id = $1 and i.payment_hash = any($2)`,
    [nodeId, states.map(({ paymentHash }) => paymentHash)],
  );
  return new Map(rows.map((row) => [row.payment_hash.toString('hex'), row]));
}
