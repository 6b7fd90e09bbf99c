import { msat, msatFromPicoUsd, picoUsd, type Msat, type PicoUsd, type PicoUsdPerMsat } from '../amount.ts';
import type { HoldVerdict } from '../ledger/hold.ts';
import { costOfUsage } from '../pricing/cost.ts';
import { ZERO_COST, type Cost, type RateCard } from '../pricing/rate-card.ts';
import { ZERO_USAGE, type Usage } from '../wires/usage.ts';

/** What one model was used for, and its prices. */
export interface Spent {
  readonly usage: Usage;
  readonly rateCard: RateCard;
}

/** What a request comes to: the sum of what was spent on it, within its hold. */
export interface Bill {
  /** In order; the last of it is the answer that the client gets. */
  readonly spent: readonly Spent[];
  readonly usage: Usage;
  readonly cost: Cost;
  /** The cost of record: never above the hold. */
  readonly costPicoUsd: PicoUsd;
  readonly costMsat: Msat;
  /** What the wallet pays of it. */
  readonly chargeMsat: Msat;
  /** What the provider will charge beyond the hold: the house's loss. */
  readonly overrunPicoUsd: PicoUsd;
}

export const NOTHING_BILLED: Bill = {
  spent: [],
  usage: ZERO_USAGE,
  cost: ZERO_COST,
  costPicoUsd: picoUsd(0n),
  costMsat: msat(0n),
  chargeMsat: msat(0n),
  overrunPicoUsd: picoUsd(0n),
};

/** What a bill is made out under. */
export interface BillTerms {
  readonly hold: Pick<HoldVerdict, 'funding' | 'heldMsat' | 'costPicoUsd'>;
  readonly markupBasisPoints: bigint;
  readonly picoUsdPerMsat: PicoUsdPerMsat;
  /** Whether anything reached the client. Where its own key at the provider serves, the fee is owed for that alone. */
  readonly delivered: boolean;
}

/** The bill for all that was spent, capped by what was held for it. */
export function billOf(spent: readonly Spent[], { hold, markupBasisPoints, picoUsdPerMsat, delivered }: BillTerms): Bill {
  const cost = spent.map(({ usage, rateCard }) => costOfUsage(usage, rateCard, markupBasisPoints)).reduce(sumOfCosts, ZERO_COST);
  const costPicoUsd = cost.totalPicoUsd < hold.costPicoUsd ? cost.totalPicoUsd : hold.costPicoUsd;
  const costMsat = msatFromPicoUsd(costPicoUsd, picoUsdPerMsat);
  const feeMsat = delivered && hold.funding === 'byok' ? hold.heldMsat : msat(0n);
  const chargeMsat = hold.funding === 'wallet' ? costMsat : feeMsat;
  const usage = spent.map((one) => one.usage).reduce(sumOfUsages, ZERO_USAGE);
  return { spent, usage, cost, costPicoUsd, costMsat, chargeMsat, overrunPicoUsd: picoUsd(cost.totalPicoUsd - costPicoUsd) };
}

function sumOfCosts(a: Cost, b: Cost): Cost {
  return {
    inputPicoUsd: picoUsd(a.inputPicoUsd + b.inputPicoUsd),
    outputPicoUsd: picoUsd(a.outputPicoUsd + b.outputPicoUsd),
    cacheInputPicoUsd: picoUsd(a.cacheInputPicoUsd + b.cacheInputPicoUsd),
    totalPicoUsd: picoUsd(a.totalPicoUsd + b.totalPicoUsd),
  };
}

function sumOfUsages(a: Usage, b: Usage): Usage {
  return {
    input: a.input + b.input,
    cacheRead: a.cacheRead + b.cacheRead,
    cacheWrite: a.cacheWrite + b.cacheWrite,
    cacheWriteLong: a.cacheWriteLong + b.cacheWriteLong,
    output: a.output + b.output,
    reasoning: a.reasoning + b.reasoning,
  };
}
