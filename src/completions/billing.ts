import type { Config } from '../config/config.ts';
import { billedUsage, promptTokensOf, type Outcome } from '../metering/billed-usage.ts';
import { billOf, type Bill, type Spent } from '../metering/bill.ts';
import { ownCount } from '../metering/own-count.ts';
import { isFree, mostOutputTokens } from '../routing/candidate.ts';
import type { Ending, UnderWay } from './call.ts';
import { tokensOfWritten } from './delivered.ts';

/**
 * What a request comes to, by how its answer ended: that answer, and those that a cascade passed over for it. Null: nothing is owed, and its
 * hold is released. A client that gets nothing owes nothing for what was passed over either.
 */
export async function billFor(
  { markupBasisPoints }: Pick<Config, 'markupBasisPoints'>,
  underWay: UnderWay,
  ending: Ending,
): Promise<Bill | null> {
  const spent = ending.kind === 'failed' ? null : await spentOn(underWay, ending);
  if (!spent) return null;
  const { call, grant, climb } = underWay;
  const passed = climb?.passed.map((one) => one.spent) ?? [];
  const terms = { hold: grant.hold, markupBasisPoints, picoUsdPerMsat: call.picoUsdPerMsat, delivered: isDelivered(ending) };
  return billOf([...passed, spent], terms);
}

/** What one answer comes to, however it ended; null: nothing. */
export async function spentOn(underWay: UnderWay, ending: Exclude<Ending, { kind: 'failed' }>): Promise<Spent | null> {
  const usage = await billedUsage(outcomeOf(underWay, ending));
  return usage && { usage, rateCard: ending.candidate.deployment.rateCard };
}

/** Whether an ending brings the client anything. A JSON answer that does not get there is given back whole. */
function isDelivered(ending: Ending): boolean {
  return ending.kind === 'json' || (ending.kind === 'stream' && ending.end.delivered);
}

/** What happened, in the terms of the bill. */
export function outcomeOf({ call, grant }: UnderWay, ending: Exclude<Ending, { kind: 'failed' }>): Outcome {
  const { candidate, dispatchedAt } = ending;
  const { deployment } = candidate;
  const elapsedSeconds = (performance.now() - dispatchedAt) / 1000;
  const countTokens = (text: string) => ownCount(text, deployment);
  const facts = {
    promptTokens: () => promptTokensOf(call.request, candidate),
    deliveredTokens: () => 0,
    usage: null,
    usageIsFinal: false,
    hiddenSeconds: 0,
    tokensPerSecond: deployment.tokensPerSecond,
    outputTokens: call.request.operation === 'embed' ? 0 : mostOutputTokens(call.request, deployment, grant.hold.tokens),
    freeModel: isFree(deployment),
  };
  switch (ending.kind) {
    case 'json': {
      const { read } = ending;
      const deliveredTokens = () => tokensOfWritten(read.written(), countTokens);
      return { ...facts, end: 'answered', usage: read.usage, usageIsFinal: true, deliveredTokens };
    }
    case 'stream': {
      const { reason, delivered, usage, usageIsFinal, deliveredTokens } = ending.end;
      const gone = reason === 'client_gone';
      const end = gone ? 'client_gone' : !delivered ? 'undelivered' : reason === 'complete' ? 'answered' : 'broke_off';
      const hiddenSeconds = delivered ? ending.end.hiddenSeconds : elapsedSeconds;
      return { ...facts, end, usage, usageIsFinal, deliveredTokens, hiddenSeconds };
    }
    case 'client_gone':
      return { ...facts, end: 'client_gone', hiddenSeconds: elapsedSeconds };
    case 'refused':
      return { ...facts, end: 'undelivered' };
  }
}
