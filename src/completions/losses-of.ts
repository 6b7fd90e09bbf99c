import { msatFromPicoUsd, picoUsd, type Msat, type PicoUsd } from '../amount.ts';
import type { Config } from '../config/config.ts';
import type { Bill } from '../metering/bill.ts';
import type { Losses } from '../observation.ts';
import { costOfUsage } from '../pricing/cost.ts';
import type { Ending, UnderWay } from './call.ts';
import { isInOnePiece, type Reply } from './reply.ts';
import type { Settled } from './settle.ts';

/** How a request came out. */
export interface Spending {
  readonly ending: Ending;
  /** Before it was settled. */
  readonly bill: Bill;
  readonly reply: Reply;
  readonly settled: Settled;
}

/**
 * What a request cost that nobody pays: it was free, cost more than its hold, brought its client nothing, or was not settled. At our prices.
 * Where the client's own key served, the provider has its bill.
 * @param undelivered as `undeliveredCost` has it.
 */
export function lossesOf({ call, grant }: UnderWay, { bill, reply, settled }: Spending, undelivered: PicoUsd): Losses {
  const { picoUsdPerMsat } = call;
  const { funding } = grant.hold;
  if (funding === 'byok') return {};
  const overrun = bill.overrunPicoUsd / picoUsdPerMsat;
  const chargedMsat = chargedOf(bill, settled);
  // An answer in one piece that is not settled does not leave, and what is settled of it later is given back.
  if (isInOnePiece(reply) && settled.state !== 'settled') return { refund: bill.costMsat + overrun };
  return {
    overrun,
    undelivered: msatFromPicoUsd(undelivered, picoUsdPerMsat),
    ...(funding === 'free' && { free: bill.costMsat }),
    crash: bill.chargeMsat > chargedMsat ? bill.chargeMsat - chargedMsat : 0n,
  };
}

/** What the ledger has for a bill: where another gateway settled it meanwhile, perhaps less. */
export function chargedOf(bill: Bill, settled: Settled): Msat {
  if (settled.state === 'pending') return bill.chargeMsat;
  return settled.state === 'settled' ? settled.verdict.chargedMsat : settled.chargedMsat;
}

/** What providers counted of answers that came to nothing for their client: of the last one, and of those that a cascade passed over. */
export function undeliveredCost({ climb }: UnderWay, ending: Ending, { markupBasisPoints }: Pick<Config, 'markupBasisPoints'>): PicoUsd {
  const spent = climb?.passed.map((one) => one.spent) ?? [];
  if (ending.kind === 'stream' && !ending.end.delivered && ending.end.usage) {
    const { input, output, ...counted } = ending.end.usage;
    spent.push({ usage: { ...counted, input: input ?? 0, output: output ?? 0 }, rateCard: ending.candidate.deployment.rateCard });
  }
  return picoUsd(spent.reduce((sum, { usage, rateCard }) => sum + costOfUsage(usage, rateCard, markupBasisPoints).totalPicoUsd, 0n));
}
