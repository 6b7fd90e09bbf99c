import { usdNumber } from '../amount.ts';
import type { Bill } from '../metering/bill.ts';
import type { SettledFigures } from '../wires/wire.ts';
import type { Call, Ending } from './call.ts';

/** How long an answer took; null where nothing came. */
export interface Timing {
  readonly latencyMs: number;
  readonly ttftMs: number | null;
}

export function timingOf({ startedAt }: Call, ending: Ending): Timing {
  const firstAt = ending.kind === 'json' ? ending.firstByteAt : ending.kind === 'stream' ? ending.end.deliveredAt : null;
  return { latencyMs: performance.now() - startedAt, ttftMs: firstAt === null ? null : firstAt - startedAt };
}

/** What a bill adds to an answer's `usage`: the counts are those of the answer itself, the costs those of all that was spent on it. */
export function figuresOf({ spent, usage, cost, costPicoUsd, costMsat }: Bill, { latencyMs, ttftMs }: Timing): SettledFigures {
  return {
    billed: spent.at(-1)?.usage ?? usage,
    costs: {
      input_cost_usd: usdNumber(cost.inputPicoUsd),
      output_cost_usd: usdNumber(cost.outputPicoUsd),
      cache_input_cost_usd: usdNumber(cost.cacheInputPicoUsd),
      total_cost_usd: usdNumber(costPicoUsd),
      total_cost_msat: Number(costMsat),
      latency_ms: Math.round(latencyMs * 10) / 10,
      ttft_ms: ttftMs === null ? null : Math.round(ttftMs * 10) / 10,
    },
  };
}
