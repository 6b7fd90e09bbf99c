import type { Bill } from '../metering/bill.ts';
import type { Candidate } from '../routing/candidate.ts';
import type { WarmCaches } from '../routing/warm-caches.ts';
import type { Ending, UnderWay } from './call.ts';

/**
 * Notes who has the conversation in a cache once its request is over: the deployment of a whole answer has, one that gave none, or broke
 * off, counts for no more. Where only one could serve there is nothing to note.
 */
export function keepWarm(caches: WarmCaches, { call, plan, grant }: UnderWay, ending: Ending, bill: Bill, isWhole: boolean): void {
  const candidates = stepOf(plan, ending);
  if (candidates.length < 2) return;
  const { request, apiKey } = call;
  const ids = candidates.map(({ deployment }) => deployment.id);
  if (ending.kind === 'failed') {
    if (!grant.cancellation.reason) caches.failed(apiKey.accountId, request, ids);
    return;
  }
  const { deployment, rendering } = ending.candidate;
  // Those that come before the one that was reached were asked, and failed, or could not be asked.
  const before = ids.slice(0, Math.max(0, ids.indexOf(deployment.id)));
  caches.failed(apiKey.accountId, request, brokeOff(ending) ? [...before, deployment.id] : before);
  if (isWhole) {
    caches.answered(apiKey.accountId, request, {
      deploymentId: deployment.id,
      usage: bill.spent.at(-1)?.usage ?? bill.usage,
      cachesLong: rendering.cachesLong === true,
    });
  }
}

/** The candidates of the step that an answer is of: who was asked in the steps before it has not failed. */
function stepOf({ candidates, steps }: UnderWay['plan'], ending: Ending): readonly Candidate[] {
  if (ending.kind === 'failed') return candidates;
  const { id } = ending.candidate.deployment;
  return steps.find((step) => step.some(({ deployment }) => deployment.id === id)) ?? candidates;
}

function brokeOff(ending: Ending): boolean {
  return ending.kind === 'stream' && (ending.end.reason === 'broke_off' || ending.end.reason === 'provider_error');
}
