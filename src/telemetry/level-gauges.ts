import type { Levels } from '../observation.ts';
import type { MetricCells } from './metric-cells.ts';

/** Levels of a gateway that does not look any more are those of another one by now. */
const LAST_MS = 60_000;
const PICO_PER_USD = 1e12;

/** What stands in the database and at the node, as the gateway that looks tells it. */
export class LevelGauges {
  readonly #cells: MetricCells;
  readonly #now: () => number;
  #kept: { readonly levels: Levels; readonly at: number } | undefined;

  constructor(cells: MetricCells, now: () => number = () => performance.now()) {
    this.#cells = cells;
    this.#now = now;
    this.tell();
  }

  keep(levels: Levels): void {
    this.#kept = { levels, at: this.#now() };
  }

  /** Sets the gauges to the levels of a moment ago; without any, to nothing. */
  tell(): void {
    const { numbers } = this.#cells;
    const known = this.#kept && this.#now() - this.#kept.at <= LAST_MS ? this.#kept.levels : undefined;
    for (const name of GAUGES) numbers[name].at().value = known ? LEVEL_OF[name](known) : NaN;
    for (const kind of KINDS) numbers.pura_free_day_usd.at(kind).value = known ? FREE_DAY_OF[kind](known) : NaN;
  }
}

const LEVEL_OF = {
  pura_owed_msat: ({ owedMsat }: Levels) => Number(owedMsat),
  pura_held_msat: ({ heldMsat }: Levels) => Number(heldMsat),
  pura_node_spendable_msat: ({ spendableMsat }: Levels) => (spendableMsat === null ? NaN : Number(spendableMsat)),
  pura_node_receivable_msat: ({ receivableMsat }: Levels) => (receivableMsat === null ? NaN : Number(receivableMsat)),
  pura_invoices_open: ({ invoicesOpen }: Levels) => invoicesOpen,
  pura_invoice_check_overdue_seconds: ({ checkOverdueSeconds }: Levels) => checkOverdueSeconds,
  pura_withdrawals_pending: ({ withdrawalsPending }: Levels) => withdrawalsPending,
  pura_withdrawal_oldest_seconds: ({ withdrawalOldestSeconds }: Levels) => withdrawalOldestSeconds,
  pura_orphan_settlements: ({ orphans }: Levels) => orphans,
  pura_holds_pending: ({ holdsPending }: Levels) => holdsPending,
  pura_hold_oldest_seconds: ({ holdOldestSeconds }: Levels) => holdOldestSeconds,
  pura_autopay_paused: ({ autopayPaused }: Levels) => autopayPaused,
};
const GAUGES = Object.keys(LEVEL_OF) as (keyof typeof LEVEL_OF)[];
const FREE_DAY_OF = {
  spent: ({ freeSpentPicoUsd }: Levels) => Number(freeSpentPicoUsd) / PICO_PER_USD,
  reserved: ({ freeReservedPicoUsd }: Levels) => Number(freeReservedPicoUsd) / PICO_PER_USD,
  ceiling: ({ freeCeilingPicoUsd }: Levels) => Number(freeCeilingPicoUsd) / PICO_PER_USD,
};

const KINDS = Object.keys(FREE_DAY_OF) as (keyof typeof FREE_DAY_OF)[];
