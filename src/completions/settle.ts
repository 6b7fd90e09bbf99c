import { msat, picoUsd, type Msat } from '../amount.ts';
import type { Deliveries, Delivery } from '../ledger/deliveries.ts';
import type { HoldVerdict, Settlement } from '../ledger/hold.ts';
import type { Holds } from '../ledger/holds.ts';
import type { Lease } from '../ledger/lease.ts';
import type { Bill } from '../metering/bill.ts';
import type { Observe } from '../observation.ts';
import type { UnderWay } from './call.ts';

/** A request's hold, and whose it is. */
export interface HeldRequest {
  requestId: string;
  accountId: string;
  hold: HoldVerdict;
  lease: Lease;
}

export function heldBy({ call, grant }: UnderWay): HeldRequest {
  return { requestId: call.requestId, accountId: call.apiKey.accountId, hold: grant.hold, lease: grant.lease };
}

/**
 * How a settlement went. `settled`: in the ledger; a `delivery` is done once the answer has left. `pending`: the database did not answer
 * in time, and the process keeps trying. `lost`: the hold had been swept, at
 * `chargedMsat`, or the ledger refused it: nothing may be delivered on it.
 */
export type Settled =
  { state: 'settled'; verdict: HoldVerdict; delivery: Delivery | null } | { state: 'pending' } | { state: 'lost'; chargedMsat: Msat };

const WAIT_MS = 5_000;

/**
 * Posts a bill, or voids the hold without one. Waits 5 seconds for the database at most.
 * Never cancelled: it is carried out although the client may have left.
 * @param unlessLate an answer that could not be settled in time is not delivered, so it must cost nothing: from then on the
 *   hold is released instead, and a charge that had gone through after all is given back.
 * @param maybeSwept the lease was lost, so that finding the hold resolved is no surprise.
 */
export async function settle(
  deps: { holds: Holds; deliveries: Deliveries; observe: Observe },
  { requestId, accountId, hold, lease }: HeldRequest,
  bill: Bill | null,
  { answer, unlessLate = false, maybeSwept = false }: { answer?: Buffer | undefined; unlessLate?: boolean; maybeSwept?: boolean } = {},
): Promise<Settled> {
  const row: Settlement = {
    kind: 'settlement',
    requestId,
    accountId,
    void: bill === null,
    chargeMsat: bill?.chargeMsat ?? msat(0n),
    costPicoUsd: bill?.costPicoUsd ?? picoUsd(0n),
    freeDay: hold.funding === 'free' ? hold.budgetDay : null,
    answer,
  };
  const since = performance.now();
  const delivery = unlessLate ? deps.deliveries.begin(accountId, requestId) : null;
  let late = false;
  const settled = deps.holds.settle(row).then(
    (verdict): Settled => {
      lease.end();
      // By the clock: in a process that was stopped meanwhile, the timer may come after the answer.
      late ||= performance.now() - since >= WAIT_MS;
      if (late && delivery) {
        if (verdict.verdict.endsWith('posted')) delivery.giveBack();
        else delivery.done();
        return { state: 'pending' };
      }
      const wanted = bill === null ? 'voided' : 'posted';
      // `already_…` is our own earlier try, whose answer was lost with its connection.
      if (verdict.verdict === wanted || verdict.verdict === `already_${wanted}`) return { state: 'settled', verdict, delivery };
      delivery?.done();
      if (!late && !maybeSwept) deps.observe({ kind: 'settlement_foreign', requestId, verdict: verdict.verdict });
      return { state: 'lost', chargedMsat: verdict.verdict === 'already_posted' ? verdict.chargedMsat : msat(0n) };
    },
    (error: unknown): Settled => {
      lease.end();
      delivery?.done();
      deps.observe({ kind: 'settlement_refused', requestId, err: error });
      return { state: 'lost', chargedMsat: msat(0n) };
    },
  );
  const result = await firstOf(settled, WAIT_MS);
  if (result) return result;
  late = true;
  if (unlessLate) {
    row.void = true;
    row.answer = undefined;
  }
  deps.observe({ kind: 'settlement_late', requestId });
  return { state: 'pending' };
}

/** What `promise`, which never rejects, resolves to within `limitMs`; else null. */
function firstOf<T>(promise: Promise<T>, limitMs: number): Promise<T | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, limitMs, null);
    void promise.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}
