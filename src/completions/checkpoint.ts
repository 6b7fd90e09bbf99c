import type { Config } from '../config/config.ts';
import type { Holds } from '../ledger/holds.ts';
import { promptTokensOf } from '../metering/billed-usage.ts';
import { billOf } from '../metering/bill.ts';
import { mostOutputTokens, type Candidate } from '../routing/candidate.ts';
import { ZERO_USAGE } from '../wires/usage.ts';
import type { Call, Grant } from './call.ts';

export interface CheckpointDeps {
  holds: Pick<Holds, 'checkpoint'>;
  config: Pick<Config, 'markupBasisPoints'>;
}

/**
 * Makes durable what of a stream was delivered: the bill if this process died now, earlier steps included. What it returns resolves to false where the hold is no
 * longer ours, and rejects when it could not be done now.
 */
export function checkpointer(
  { holds, config }: CheckpointDeps,
  { call, grant }: { call: Call; grant: Grant },
  candidate: Candidate,
): (deliveredTokens: number) => Promise<boolean> {
  const { deployment } = candidate;
  const { requestId, request, apiKey, picoUsdPerMsat } = call;
  const { hold, lease, earlier } = grant;
  // What the client has not seen costs nothing should this process die. The lease is renewed as that of any answer in one piece.
  if (call.client?.withheld) return () => Promise.resolve(true);
  return async (deliveredTokens) => {
    const since = performance.now();
    const output = Math.min(deliveredTokens, mostOutputTokens(request, deployment, hold.tokens));
    const usage = { ...ZERO_USAGE, input: await promptTokensOf(request, candidate), output };
    const terms = { hold, markupBasisPoints: config.markupBasisPoints, picoUsdPerMsat, delivered: true };
    const { chargeMsat, costPicoUsd } = billOf([...earlier, { usage, rateCard: deployment.rateCard }], terms);
    const { verdict } = await holds.checkpoint({ requestId, accountId: apiKey.accountId, chargeMsat, costPicoUsd });
    if (verdict === 'kept') lease.renewed(since);
    return verdict === 'kept';
  };
}
