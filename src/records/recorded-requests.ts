import type { Pool } from '../db/postgres.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';
import type { PaidBy } from '../ledger/hold.ts';
import { UNRECORDED } from '../ledger/spend.ts';
import { BEFORE_KEYS } from '../ledger/statement.ts';

/** An answer of a cascade, with what it cost by itself: the last one is what the client got. */
export interface RecordedStep {
  model: string;
  provider: string;
  tier: string;
  promptTokens: number;
  completionTokens: number;
  costPicoUsd: PicoUsd;
  /** Null where the answer was not judged. */
  confidence: number | null;
}

/** What is known of a request that has ended: never what was said in it. */
export interface RecordedRequest {
  id: string;
  keyId: string;
  createdAt: Date;
  path: string | null;
  requestedModel: string | null;
  model: string | null;
  provider: string | null;
  tier: string | null;
  stream: boolean;
  outcome: string;
  status: number | null;
  errorCode: string | null;
  funding: PaidBy | null;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  /** The ledger's figures. */
  costPicoUsd: PicoUsd;
  costMsat: Msat;
  chargedMsat: Msat;
  latencyMs: number | null;
  ttftMs: number | null;
  explored: boolean;
  /** How likely that was; null where nothing was decided. */
  exploreOdds: number | null;
  /** How many times a provider was asked; null where that was not recorded. */
  attempts: number | null;
  upstreamRequestId: string | null;
  clientRequestId: string | null;
  /** What a cascade asked for and paid; null without one. */
  steps: readonly RecordedStep[] | null;
  /** Where this request stands in the list, exactly: in microseconds, which a JavaScript date would lose. */
  position: { atMicros: bigint; id: string };
}

export interface RequestPage {
  accountId: string;
  keyId: string | null;
  /** Only requests that stand after this position. */
  after: { atMicros: bigint; id: string } | null;
  limit: number;
}

interface Row {
  id: string;
  key_id: string;
  created_at: Date;
  at_micros: bigint;
  path: string | null;
  requested_model: string | null;
  model: string | null;
  provider: string | null;
  tier: string | null;
  stream: boolean;
  outcome: string;
  status: number | null;
  error_code: string | null;
  funding: PaidBy | null;
  prompt_tokens: bigint;
  completion_tokens: bigint;
  cached_tokens: bigint;
  reasoning_tokens: bigint;
  cost_pico_usd: bigint;
  cost_msat: bigint;
  charged_msat: bigint;
  latency_ms: number | null;
  ttft_ms: number | null;
  explored: boolean;
  explore_odds: number | null;
  attempts: number | null;
  upstream_request_id: string | null;
  client_request_id: string | null;
  steps: readonly StepRow[] | null;
}

interface StepRow extends Pick<RecordedStep, 'model' | 'provider' | 'tier' | 'confidence'> {
  prompt_tokens: number;
  completion_tokens: number;
  /** In digits. */
  cost_pico_usd: string;
}

/** A page of an account's requests, newest first. Charged ones whose record was lost are among them, without a name; refunded ones cost nothing. */
export async function readRequests(pool: Pool, { accountId, keyId, after, limit }: RequestPage): Promise<RecordedRequest[]> {
  const page = [accountId, keyId, after?.atMicros ?? null, after?.id ?? null, limit];
  const { rows: recorded } = await pool.query<Row>(RECORDED, page);
  // Only as far back as this page goes: so it reads no more than a page of holds, whatever the account's history.
  const oldestMicros = recorded.length === limit ? recorded.at(-1)?.at_micros : undefined;
  const { rows: lost } = await pool.query<Row>(LOST(keyId !== null), [...page, UNRECORDED, oldestMicros ?? null]);
  const rows = [...recorded, ...lost].toSorted(newestFirst).slice(0, limit);
  return rows.map((row) => ({
    id: row.id,
    keyId: row.key_id,
    createdAt: row.created_at,
    path: row.path,
    requestedModel: row.requested_model,
    model: row.model,
    provider: row.provider,
    tier: row.tier,
    stream: row.stream,
    outcome: row.outcome,
    status: row.status,
    errorCode: row.error_code,
    funding: row.funding,
    promptTokens: Number(row.prompt_tokens),
    completionTokens: Number(row.completion_tokens),
    cachedTokens: Number(row.cached_tokens),
    reasoningTokens: Number(row.reasoning_tokens),
    costPicoUsd: picoUsd(row.cost_pico_usd),
    costMsat: msat(row.cost_msat),
    chargedMsat: msat(row.charged_msat),
    latencyMs: row.latency_ms,
    ttftMs: row.ttft_ms,
    explored: row.explored,
    exploreOdds: row.explore_odds,
    attempts: row.attempts,
    upstreamRequestId: row.upstream_request_id,
    clientRequestId: row.client_request_id,
    steps: row.steps?.map(stepOf) ?? null,
    position: { atMicros: row.at_micros, id: row.id },
  }));
}

function stepOf({ model, provider, tier, confidence, prompt_tokens, completion_tokens, cost_pico_usd }: StepRow): RecordedStep {
  const costPicoUsd = picoUsd(BigInt(cost_pico_usd));
  return { model, provider, tier, promptTokens: prompt_tokens, completionTokens: completion_tokens, costPicoUsd, confidence };
}

function newestFirst(a: Row, b: Row): number {
  if (a.at_micros !== b.at_micros) return a.at_micros > b.at_micros ? -1 : 1;
  return a.id > b.id ? -1 : 1;
}

const micros = (time: string) => `(extract(epoch from ${time}) * 1000000)::bigint`;
const time = (parameter: string) => `timestamptz 'epoch' + ${parameter}::bigint * interval '1 microsecond'`;

const RECORDED = `
  select r.id, r.key_id, r.created_at, ${micros('r.created_at')} as at_micros, r.path, r.requested_model, r.model, r.provider, r.tier, r.stream,
    r.outcome, r.status, r.error_code, coalesce(h.funding, r.funding) as funding, r.prompt_tokens, r.completion_tokens, r.cached_tokens,
    r.reasoning_tokens, coalesce(h.posted_pico_usd, 0) as cost_pico_usd,
    coalesce((h.posted_pico_usd + h.pico_usd_per_msat - 1) / h.pico_usd_per_msat, 0) as cost_msat, coalesce(h.posted_msat, 0) as charged_msat,
    r.latency_ms, r.ttft_ms, r.explored, r.explore_odds, r.attempts, r.upstream_request_id, r.client_request_id, r.steps
  from requests r left join holds h on h.request_id = r.id and h.state <> 'refunded'
  where r.account_id = $1 and ($2::uuid is null or r.key_id = $2) and ($3::bigint is null or (r.created_at, r.id) < (${time('$3')}, $4::uuid))
  order by r.created_at desc, r.id desc limit $5`;

/**
 * The holds of a key that were charged, and in the same moment. Its free requests whose record was lost are not looked for: nothing but a
 * walk through the account's holds would find them.
 */
const CHARGED_TO_KEY = `(
    select request_id, kind, created_at from transfers where account_id = $1 and key_id = $2
    union all select request_id, kind, created_at from transfers t where account_id = $1 and ${BEFORE_KEYS}
  ) t join holds h on h.request_id = t.request_id and t.kind = 'charge'
    and ($7::bigint is null or t.created_at >= ${time('$7')} - interval '1 minute')
    and ($3::bigint is null or t.created_at <= ${time('$3')} + interval '1 minute')`;

/** A statement of its own: the planner must know how far back it goes, or it joins both tables whole. */
const LOST = (ofKey: boolean) => `
  select h.request_id as id, h.key_id, h.resolved_at as created_at, ${micros('h.resolved_at')} as at_micros, null as path, null as requested_model,
    $6::text as model, $6::text as provider, null as tier, h.stream, $6::text as outcome, null::integer as status, null as error_code, h.funding,
    0::bigint as prompt_tokens, 0::bigint as completion_tokens, 0::bigint as cached_tokens, 0::bigint as reasoning_tokens,
    h.posted_pico_usd as cost_pico_usd, (h.posted_pico_usd + h.pico_usd_per_msat - 1) / h.pico_usd_per_msat as cost_msat,
    h.posted_msat as charged_msat, null::double precision as latency_ms, null::double precision as ttft_ms, false as explored,
    null::double precision as explore_odds, null::integer as attempts,
    null as upstream_request_id, null as client_request_id, null::jsonb as steps
  from ${ofKey ? CHARGED_TO_KEY : 'holds h'}
  where h.account_id = $1 and h.state = 'posted' and ${ofKey ? 'h.key_id = $2' : '$2::uuid is null'}
    and ($3::bigint is null or (h.resolved_at, h.request_id) < (${time('$3')}, $4::uuid))
    and ($7::bigint is null or h.resolved_at >= ${time('$7')})
    and not exists (select from requests r where r.id = h.request_id)
  order by h.resolved_at desc, h.request_id desc limit $5`;
