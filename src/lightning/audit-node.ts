import type { Pool } from '../db/postgres.ts';
import type { Violation } from '../ledger/audit.ts';
import type { Wallet } from './wallet.ts';

interface AuditedInvoice {
  id: string;
  payment_hash: Buffer;
  deposited_msat: bigint;
}

const PAGE = 200;
/** Lookups at once: few, for the node has its payers to serve. */
const AT_ONCE = 8;
/** What settled a moment ago may still be on its way into the ledger. */
const GRACE_MS = 10_000;

/**
 * Invariant 9: what the node says it received for our invoices is what we deposited, invoice by invoice and so in sum. Asks the node
 * about every invoice that it ever made; other nodes' are left to audits with those. Rejects with GatewayError `lightning_unavailable` where it is away.
 */
export async function auditNode(pool: Pool, wallet: Pick<Wallet, 'nodeId' | 'lookupInvoice'>): Promise<Violation[]> {
  const violations: Violation[] = [];
  let after: string | null = null;
  for (;;) {
    const page: AuditedInvoice[] = await invoicesAfter(pool, wallet.nodeId, after);
    for (let from = 0; from < page.length; from += AT_ONCE) {
      const found = await Promise.all(page.slice(from, from + AT_ONCE).map((invoice) => compare(invoice, wallet)));
      violations.push(...found.filter((violation) => violation !== undefined));
    }
    const last = page.at(-1);
    if (!last || page.length < PAGE) return violations;
    after = last.id;
  }
}

async function compare(invoice: AuditedInvoice, wallet: Pick<Wallet, 'lookupInvoice'>): Promise<Violation | undefined> {
  const state = await wallet.lookupInvoice(invoice.payment_hash);
  const received = state?.status === 'settled' ? (state.receivedMsat ?? 0n) : 0n;
  if (received === invoice.deposited_msat) return undefined;
  const settledAt = state?.settledAt?.getTime() ?? 0;
  if (invoice.deposited_msat === 0n && Date.now() - settledAt < GRACE_MS) return undefined;
  const rule = 'what the node received for an invoice is what was deposited';
  return { invariant: 9, rule, subject: invoice.id, expected: String(received), found: String(invoice.deposited_msat) };
}

async function invoicesAfter(pool: Pool, nodeId: string, after: string | null): Promise<AuditedInvoice[]> {
  const { rows } = await pool.query<AuditedInvoice>(
    `select i.id, i.payment_hash, coalesce((select sum(t.amount_msat) from transfers t where t.id = i.transfer_id and t.kind = 'deposit'), 0)::bigint
       as deposited_msat
     from invoices i where i.node_id = $1 and i.payment_hash is not null and ($2::uuid is null or i.id > $2) order by i.id limit $3`,
    [nodeId, after, PAGE],
  );
  return rows;
}
