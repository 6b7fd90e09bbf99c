import type { Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { Orphan } from '../invoices/orphans.ts';
import { insertAct, readAct, requireReason, type Act, type ActKind, type NewAct } from './acts.ts';
import { CannotReconcileError, type Also, type Reconciling } from './reconciling.ts';

export type OrphanDecision = { readonly assignTo: string | undefined } | 'dismiss';

/**
 * Deals with a payment that only the node knows: a received one is credited to an account, one that was made is booked as a withdrawal of an
 * account, or either is set aside. The record is of the same transaction. Throws GatewayError `invalid_request` for what cannot be done, with
 * the reason, and `not_found` where the payment was dealt with by somebody else.
 */
export async function decideOrphan(
  pool: Pool,
  { reconciling, orphan, decision }: { reconciling: Reconciling; orphan: Orphan; decision: OrphanDecision },
  act: Omit<NewAct, 'act' | 'subject'>,
): Promise<Act> {
  requireReason(act.reason.trim());
  const full: NewAct = { ...act, act: actFor(orphan, decision), subject: { kind: 'orphan', id: orphan.paymentHash.toString('hex') } };
  const also: Also = (client, accountId) =>
    insertAct(
      client,
      { ...full, reason: full.reason.trim() },
      { direction: orphan.direction, amountMsat: String(orphan.amountMsat), accountId },
    );
  try {
    await carryOut(reconciling, orphan, decision, also);
  } catch (error) {
    if (error instanceof CannotReconcileError)
      throw new GatewayError('invalid_request', { message: sentence(error.message), param: 'account' });
    throw error;
  }
  const done = await readAct(pool, act.id);
  if (!done) throw new GatewayError('not_found', { message: 'Somebody else has dealt with this payment.' });
  return done;
}

function carryOut(reconciling: Reconciling, orphan: Orphan, decision: OrphanDecision, also: Also): Promise<boolean> {
  if (decision === 'dismiss') return reconciling.dismiss(orphan, also);
  if (orphan.direction === 'received') return reconciling.credit(orphan, decision.assignTo, also);
  return reconciling.book(orphan, decision.assignTo, also);
}

function actFor({ direction }: Orphan, decision: OrphanDecision): ActKind {
  if (decision === 'dismiss') return 'dismiss_orphan';
  return direction === 'received' ? 'credit_orphan' : 'book_orphan';
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
