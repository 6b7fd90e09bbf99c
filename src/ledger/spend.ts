import type { Pool } from '../db/postgres.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';

/** The figures of some requests. */
export interface Spend {
  requestCount: number;
  /** Of them, those that were spent on learning how a deployment does. */
  exploredCount: number;
  promptTokens: number;
  completionTokens: number;
  costPicoUsd: PicoUsd;
  /** The cost at the rate of each request, rounded up once each. */
  costMsat: Msat;
  chargedMsat: Msat;
}

/** The spend of a period, in all and by name. */
export interface PeriodSpend {
  windowStart: Date;
  total: Spend;
  byModel: Map<string, Spend>;
  byProvider: Map<string, Spend>;
}

/** The name for requests whose usage record was lost in a crash: the ledger has the money, and no names. */
export const UNRECORDED = 'unrecorded';

interface Row {
  window_start: Date;
  model: string | null;
  provider: string | null;
  requests: bigint;
  explored: bigint;
  prompt_tokens: bigint;
  completion_tokens: bigint;
  cost_pico_usd: bigint;
  cost_msat: bigint;
  charged_msat: bigint;
}

/**
 * What an account, or one of its keys, spent in the last `hours`, on the database's clock. The money is the ledger's;
 * usage records only name it. A request whose charge was given back cost nothing, as if it had been voided.
 */
export async function readSpend(pool: Pool, accountId: string, keyId: string | null, hours: number): Promise<PeriodSpend> {
  const { rows } = await pool.query<Row>(SPEND, [accountId, keyId, hours, UNRECORDED]);
  const total = nothing();
  const byModel = new Map<string, Spend>();
  const byProvider = new Map<string, Spend>();
  for (const row of rows) {
    if (row.model === null || row.provider === null) continue;
    add(total, row);
    add(named(byModel, row.model), row);
    add(named(byProvider, row.provider), row);
  }
  return { windowStart: rows[0]?.window_start ?? new Date(), total, byModel, byProvider };
}

/**
 * Every row has the period's start; if nothing was spent, a row of its own has it. now() and not
 * clock_timestamp(): with now(), the planner knows how small a part of a long history the period is.
 */
const SPEND = `
  with spend as (
    select coalesce(r.model, $4) as model, coalesce(r.provider, $4) as provider, count(*) as requests, count(*) filter (where r.explored) as explored,
      coalesce(sum(r.prompt_tokens), 0)::bigint as prompt_tokens, coalesce(sum(r.completion_tokens), 0)::bigint as completion_tokens,
      sum(h.posted_pico_usd)::bigint as cost_pico_usd, sum(h.posted_msat)::bigint as charged_msat,
      sum((h.posted_pico_usd + h.pico_usd_per_msat - 1) / h.pico_usd_per_msat)::bigint as cost_msat
    from holds h left join requests r on r.id = h.request_id
    where h.account_id = $1 and h.state = 'posted' and h.resolved_at >= now() - make_interval(hours => $3) and ($2::uuid is null or h.key_id = $2)
    group by 1, 2
  )
  select * from (select now() - make_interval(hours => $3) as window_start) period left join spend on true`;

function nothing(): Spend {
  return {
    requestCount: 0,
    exploredCount: 0,
    promptTokens: 0,
    completionTokens: 0,
    costPicoUsd: picoUsd(0n),
    costMsat: msat(0n),
    chargedMsat: msat(0n),
  };
}

function named(spends: Map<string, Spend>, name: string): Spend {
  const known = spends.get(name);
  if (known) return known;
  const spend = nothing();
  spends.set(name, spend);
  return spend;
}

function add(spend: Spend, row: Row): void {
  spend.requestCount += Number(row.requests);
  spend.exploredCount += Number(row.explored);
  spend.promptTokens += Number(row.prompt_tokens);
  spend.completionTokens += Number(row.completion_tokens);
  spend.costPicoUsd = picoUsd(spend.costPicoUsd + row.cost_pico_usd);
  spend.costMsat = msat(spend.costMsat + row.cost_msat);
  spend.chargedMsat = msat(spend.chargedMsat + row.charged_msat);
}
