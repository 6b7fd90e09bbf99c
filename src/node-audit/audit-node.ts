import type { Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { Violation } from '../ledger/audit.ts';
import { auditedPlaces, auditedUpTo, Progress } from '../lightning/audited-places.ts';
import { comparePaid } from './compare-paid.ts';
import { compareReceived, GRACE_MS, RECEIVED_RULE } from './compare-received.ts';
import { UnlistedError } from '../lightning/node-books.ts';
import { openOrphans } from '../invoices/orphans.ts';
import type { Wallet } from '../lightning/wallet.ts';

export type AuditedWallet = Pick<Wallet, 'nodeId' | 'lookupInvoice' | 'books' | 'payments'>;

export interface NodeAudit {
  violations: Violation[];
  /** Entries of the node's books that are none of this gateway's. */
  foreign: number;
  /** What could not be compared, in the operator's words. */
  notCompared: string[];
}

interface BookedTransfer {
  transfer_id: bigint;
  kind: 'deposit' | 'withdrawal';
  subject: string;
  payment_hash: Buffer;
  amount_msat: bigint;
  happened: Date;
  /** Whether it was booked by the operator's word, because the node has no record of it. */
  decided: boolean;
}

const PAGE = 200;
/** Lookups at once: few, for the node has its payers to serve. */
const AT_ONCE = 8;

/**
 * Invariant 9, both ways: what the node received under our name are our deposits, what it paid are our withdrawals, and each of ours is
 * in its books. Looks at everything where `full`, else at what has come since all was final; other nodes' are left to audits with those.
 * Rejects with GatewayError `lightning_unavailable` where the node is away.
 */
export async function compareBooks(pool: Pool, wallet: AuditedWallet, options: { full: boolean }): Promise<NodeAudit> {
  const { books = {}, nodeId } = wallet;
  const notCompared: string[] = [];
  const received = books.invoices && (await listed(compareReceived(pool, wallet, books.invoices, options)));
  if (!received) notCompared.push('the invoices that the node has and the ledger does not: the gateway may not read its list');
  const paid = books.payments && (await comparePaid(pool, wallet, books.payments, options));
  if (!paid && wallet.payments)
    notCompared.push('the payments that the node made and the ledger does not know: the gateway may not read its list');
  const booked = await compareBooked(pool, wallet, options, notCompared);
  const unpaid = (received && !books.mayLack) || !options.full ? [] : await compareUnpaid(pool, wallet);
  const orphans = (await openOrphans(pool, nodeId)).map(({ direction, paymentHash, amountMsat, feeMsat }) => ({
    invariant: 9,
    rule: `what the node ${direction} and the ledger should have, by its payment hash`,
    subject: paymentHash.toString('hex'),
    expected: String(amountMsat + feeMsat),
    found: '0',
  }));
  // One that both walks find is told once.
  const byPlace = new Map([...(received?.violations ?? []), ...(paid?.violations ?? []), ...booked, ...unpaid].map((v) => [v.subject, v]));
  const foreign = (received?.foreign ?? 0) + (paid?.foreign ?? 0);
  return { violations: [...byPlace.values(), ...orphans], foreign, notCompared };
}

/** Undefined where the node does not list after all. */
async function listed<T>(comparing: Promise<T>): Promise<T | undefined> {
  try {
    return await comparing;
  } catch (error) {
    if (error instanceof UnlistedError) return undefined;
    throw error;
  }
}

/** The violations of `compareBooks`, of all that there is. */
export async function auditNode(pool: Pool, wallet: AuditedWallet): Promise<Violation[]> {
  return (await compareBooks(pool, wallet, { full: true })).violations;
}

/** Asks the node about the deposits and withdrawals that the ledger has of it. */
async function compareBooked(pool: Pool, wallet: AuditedWallet, { full }: { full: boolean }, notCompared: string[]): Promise<Violation[]> {
  const violations: Violation[] = [];
  let untold = false;
  const progress = new Progress(full ? 0n : (await auditedPlaces(pool, wallet.nodeId)).transferId);
  for (let after = progress.reached, more = true; more;) {
    const page = await transfersAfter(pool, wallet.nodeId, after);
    for (let from = 0; from < page.length; from += AT_ONCE) {
      const some = page.slice(from, from + AT_ONCE);
      const found = await Promise.all(some.map((transfer) => compareTransfer(transfer, wallet)));
      some.forEach(({ transfer_id, happened }, index) => {
        // A younger one may have been committed after it, with a lower id.
        progress.passed(transfer_id, found[index] === 'agrees' && Date.now() - happened.getTime() > GRACE_MS);
      });
      violations.push(...found.filter((one) => typeof one === 'object'));
      untold ||= found.includes('untold');
    }
    after = page.at(-1)?.transfer_id ?? after;
    more = page.length === PAGE;
    await auditedUpTo(pool, wallet.nodeId, 'transfer_id', progress.reached);
  }
  if (untold) notCompared.push('the withdrawals that the ledger has: the node does not tell of payments');
  return violations;
}

async function compareTransfer(transfer: BookedTransfer, wallet: AuditedWallet): Promise<Violation | 'agrees' | 'untold'> {
  const { kind, subject, payment_hash: hash, amount_msat: found } = transfer;
  if (kind === 'deposit') {
    const state = await wallet.lookupInvoice(hash);
    const received = state?.status === 'settled' ? (state.receivedMsat ?? 0n) : 0n;
    return received === found ? 'agrees' : violation(RECEIVED_RULE, subject, received, found);
  }
  try {
    const state = await wallet.payments?.lookupPayment(hash);
    if (state === undefined) return 'untold';
    if (state === null && transfer.decided) return 'agrees';
    return state?.status === 'paid' ? 'agrees' : violation('a booked withdrawal was paid by the node', subject, 0n, found);
  } catch (error) {
    // A gateway that pays no more may not be permitted to ask about payments any more.
    if (error instanceof GatewayError) return 'untold';
    throw error;
  }
}

/** Without the node's list, whether it received something for an invoice that counts as unpaid is asked one by one. */
async function compareUnpaid(pool: Pool, wallet: AuditedWallet): Promise<Violation[]> {
  const violations: Violation[] = [];
  for (let after: string | null = null; ;) {
    const { rows }: { rows: { id: string; payment_hash: Buffer }[] } = await pool.query(
      `select id, payment_hash from invoices
       where node_id = $1 and payment_hash is not null and state <> 'paid' and ($2::uuid is null or id > $2) order by id limit $3`,
      [wallet.nodeId, after, PAGE],
    );
    for (let from = 0; from < rows.length; from += AT_ONCE) {
      const found = await Promise.all(
        rows.slice(from, from + AT_ONCE).map(async ({ id, payment_hash }) => {
          const state = await wallet.lookupInvoice(payment_hash);
          if (state?.status !== 'settled' || Date.now() - (state.settledAt?.getTime() ?? 0) < GRACE_MS) return undefined;
          return violation(RECEIVED_RULE, id, state.receivedMsat ?? 0n, 0n);
        }),
      );
      violations.push(...found.filter((one) => one !== undefined));
    }
    if (rows.length < PAGE) return violations;
    after = rows.at(-1)?.id ?? null;
  }
}

function violation(rule: string, subject: string, expected: bigint, found: bigint): Violation {
  return { invariant: 9, rule, subject, expected: String(expected), found: String(found) };
}

async function transfersAfter(pool: Pool, nodeId: string, after: bigint): Promise<BookedTransfer[]> {
  const { rows } = await pool.query<BookedTransfer>(
    `select t.id as transfer_id, t.kind, coalesce(i.id, w.id) as subject, coalesce(i.payment_hash, w.payment_hash) as payment_hash,
       t.amount_msat, t.created_at as happened, coalesce(w.decided_at is not null, false) as decided
     from transfers t left join invoices i on i.transfer_id = t.id left join withdrawals w on w.transfer_id = t.id
     where t.id > $2 and t.kind in ('deposit', 'withdrawal') and coalesce(i.node_id, w.node_id) = $1 order by t.id limit $3`,
    [nodeId, after, PAGE],
  );
  return rows;
}
