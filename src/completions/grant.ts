import type { Admitted } from '../admission/admit.ts';
import type { FreeTicket } from '../admission/free-shares.ts';
import type { Leases } from '../ledger/lease.ts';
import type { Repeatable } from '../records/stored-answer.ts';
import type { Call, Grant } from './call.ts';
import { Cancellation, type AbortReason } from './cancellation.ts';
import { StreamCopy } from './stream-copy.ts';

export interface GrantDeps {
  leases: Leases;
  /** How long an answer may take. */
  timeLimitMs: number;
}

/** What an admitted request is carried out under: its hold's lease, and what gives the request up. */
export function openGrant(
  { leases, timeLimitMs }: GrantDeps,
  { requestId, request, res, client }: Call,
  { hold, ticket, since, free }: Admitted & { free: FreeTicket | null },
  repeatable: Repeatable | null,
): Grant {
  const cancellation = new Cancellation();
  const give = (reason: AbortReason) => cancellation.cancel(reason);
  const lease = leases.take(requestId, since, () => give('lease_lost'));
  const isFree = hold.funding === 'free' || (hold.funding === 'byok' && !hold.funded);
  const keeping = repeatable?.keeping(isFree) ?? null;
  const copy = keeping && request.stream ? new StreamCopy(keeping.mostBytes) : null;
  const timeLimit = setTimeout(() => give('time_limit'), timeLimitMs);
  res.once('close', () => {
    clearTimeout(timeLimit);
    // Once something was delivered, a stream's relay sees for itself how its client left: it may still wait for the usage.
    const answering = client ? client.delivered : res.headersSent;
    if (!res.writableFinished && !answering) give('client_gone');
  });
  // It left while its hold was placed: its close will not be heard any more.
  if (res.destroyed) {
    clearTimeout(timeLimit);
    give('client_gone');
  }
  return { hold, ticket, free, lease, cancellation, keeping, copy, earlier: [], asked: [] };
}
