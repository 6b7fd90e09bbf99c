import type { Pool } from '../db/postgres.ts';
import { msat, picoUsd, type Msat, type PicoUsd, type PicoUsdPerMsat } from '../amount.ts';
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
  /** The rate that it was reckoned at; null where none was noted. */
  picoUsdPerMsat: PicoUsdPerMsat | null;
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

/** Whose requests are told, and which. */
export interface RequestFilter {
  accountId: string;
  keyId: string | null;
  model?: string | null | undefined;
  /** As records say; `unrecorded` for those whose record was lost. */
  outcome?: string | null | undefined;
  funding?: PaidBy | null | undefined;
  /** Only what was charged, or ended without a charge, from this moment on, and before that one. */
  from?: Date | null | undefined;
  to?: Date | null | undefined;
}

export interface RequestPage extends RequestFilter {
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
  pico_usd_per_msat: bigint | null;
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
export async function readRequests(pool: Pool, page: RequestPage): Promise<RecordedRequest[]> {
  const { accountId, keyId, after, limit, model = null, outcome = null, funding = null, from = null, to = null } = page;
  const values = [accountId, keyId, after?.atMicros ?? null, after?.id ?? null, limit, funding, from, to];
  const { rows: recorded } = await pool.query<Row>(RECORDED, [...values, model, outcome]);
  // Only as far back as this page goes: so it reads no more than a page of holds, whatever the account's history.
  const oldestMicros = recorded.length === limit ? recorded.at(-1)?.at_micros : undefined;
  const isNamed = [model, outcome].some((name) => name !== null && name !== UNRECORDED);
  const lost = isNamed ? [] : (await pool.query<Row>(LOST(keyId !== null), [...values, UNRECORDED, oldestMicros ?? null])).rows;
  return [...recorded, ...lost].toSorted(newestFirst).slice(0, limit).map(requestOf);
}

function requestOf(row: Row): RecordedRequest {
  return {
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
    picoUsdPerMsat: row.pico_usd_per_msat as PicoUsdPerMsat | null,
    latencyMs: row.latency_ms,
    ttftMs: row.ttft_ms,
    explored: row.explored,
    exploreOdds: row.explore_odds,
    attempts: row.attempts,
    upstreamRequestId: row.upstream_request_id,
    clientRequestId: row.client_request_id,
    steps: row.steps?.map(stepOf) ?? null,
    position: { atMicros: row.at_micros, id: row.id },
  };
}

const REQUESTS_AT_ONCE = 1_000;

/** All requests that `readRequests` would give page by page, at most `most` of them, a thousand at a time. */
export async function* requestPages(
  pool: Pool,
  filter: RequestFilter & { after?: RequestPage['after'] },
  most = Infinity,
): AsyncGenerator<RecordedRequest[], void, undefined> {
  let after = filter.after ?? null;
  for (let given = 0; given < most;) {
    const limit = Math.min(REQUESTS_AT_ONCE, most - given);
    const requests = await readRequests(pool, { ...filter, after, limit });
    if (requests.length > 0) yield requests;
    if (requests.length < limit) return;
    given += requests.length;
    after = requests.at(-1)?.position ?? null;
  }
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

/** One request of the account, and of the key where one is named; null where there is none. One that is under way has the outcome `pending`. */
export async function readRequest(
  pool: Pool,
  { accountId, keyId }: { accountId: string; keyId: string | null },
  id: string,
): Promise<RecordedRequest | null> {
  const { rows } = await pool.query<Row>(ONE, [accountId, keyId, id]);
  const [row] = rows.length > 0 ? rows : (await pool.query<Row>(ONE_LOST, [accountId, keyId, id, UNRECORDED])).rows;
  return row ? requestOf(row) : null;
}

/** A record is written after its charge, by some seconds at most. The time of the charge counts, as in all sums. */
const LATE = `interval '5 minutes'`;

const RECORDED_COLUMNS = `
  select r.id, r.key_id, r.created_at, ${micros('r.created_at')} as at_micros, r.path, r.requested_model, r.model, r.provider, r.tier, r.stream,
    r.outcome, r.status, r.error_code, coalesce(h.funding, r.funding) as funding, r.prompt_tokens, r.completion_tokens, r.cached_tokens,
    r.reasoning_tokens, coalesce(h.posted_pico_usd, 0) as cost_pico_usd,
    coalesce((h.posted_pico_usd + h.pico_usd_per_msat - 1) / h.pico_usd_per_msat, 0) as cost_msat, coalesce(h.posted_msat, 0) as charged_msat,
    coalesce(h.pico_usd_per_msat, r.pico_usd_per_msat) as pico_usd_per_msat,
    r.latency_ms, r.ttft_ms, r.explored, r.explore_odds, r.attempts, r.upstream_request_id, r.client_request_id, r.steps
  from requests r left join holds h on h.request_id = r.id and h.state <> 'refunded'`;

const RECORDED = `${RECORDED_COLUMNS}
  where r.account_id = $1 and ($2::uuid is null or r.key_id = $2) and ($3::bigint is null or (r.created_at, r.id) < (${time('$3')}, $4::uuid))
    and ($6::text is null or coalesce(h.funding, r.funding) = $6)
    and ($7::timestamptz is null or (r.created_at >= $7::timestamptz - ${LATE} and coalesce(h.resolved_at, r.created_at) >= $7))
    and ($8::timestamptz is null or (r.created_at < $8::timestamptz + ${LATE} and coalesce(h.resolved_at, r.created_at) < $8))
    and ($9::text is null or r.model = $9) and ($10::text is null or r.outcome = $10)
  order by r.created_at desc, r.id desc limit $5`;

/**
 * The holds of a key that were charged, and in the same moment. Its free requests whose record was lost are not looked for: nothing but a
 * walk through the account's holds would find them.
 */
const CHARGED_TO_KEY = `(
    select request_id, kind, created_at from transfers where account_id = $1 and key_id = $2
    union all select request_id, kind, created_at from transfers t where account_id = $1 and ${BEFORE_KEYS}
  ) t join holds h on h.request_id = t.request_id and t.kind = 'charge'
    and ($10::bigint is null or t.created_at >= ${time('$10')} - interval '1 minute')
    and ($3::bigint is null or t.created_at <= ${time('$3')} + interval '1 minute')`;

/** A hold that has no record, by what is known of it. */
const holdColumns = (name: string, outcome: string, at: string) => `
  select h.request_id as id, h.key_id, ${at} as created_at, ${micros(at)} as at_micros, null as path, null as requested_model,
    ${name} as model, ${name} as provider, null as tier, h.stream, ${outcome} as outcome, null::integer as status, null as error_code, h.funding,
    0::bigint as prompt_tokens, 0::bigint as completion_tokens, 0::bigint as cached_tokens, 0::bigint as reasoning_tokens,
    case when h.state = 'posted' then h.posted_pico_usd else 0 end as cost_pico_usd,
    case when h.state = 'posted' then (h.posted_pico_usd + h.pico_usd_per_msat - 1) / h.pico_usd_per_msat else 0 end as cost_msat,
    case when h.state = 'posted' then h.posted_msat else 0 end as charged_msat, h.pico_usd_per_msat, null::double precision as latency_ms, null::double precision as ttft_ms, false as explored,
    null::double precision as explore_odds, null::integer as attempts,
    null as upstream_request_id, null as client_request_id, null::jsonb as steps`;

/** A statement of its own: the planner must know how far back it goes, or it joins both tables whole. */
const LOST = (ofKey: boolean) => `${holdColumns('$9::text', '$9::text', 'h.resolved_at')}
  from ${ofKey ? CHARGED_TO_KEY : 'holds h'}
  where h.account_id = $1 and h.state = 'posted' and ${ofKey ? 'h.key_id = $2' : '$2::uuid is null'}
    and ($3::bigint is null or (h.resolved_at, h.request_id) < (${time('$3')}, $4::uuid))
    and ($10::bigint is null or h.resolved_at >= ${time('$10')})
    and ($6::text is null or h.funding = $6) and ($7::timestamptz is null or h.resolved_at >= $7) and ($8::timestamptz is null or h.resolved_at < $8)
    and not exists (select from requests r where r.id = h.request_id)
  order by h.resolved_at desc, h.request_id desc limit $5`;

const ONE = `${RECORDED_COLUMNS}
  where r.id = $3 and r.account_id = $1 and ($2::uuid is null or r.key_id = $2)`;

const ONE_LOST = `${holdColumns(`case when h.state <> 'pending' then $4::text end`, `case when h.state = 'pending' then 'pending' else $4::text end`, 'coalesce(h.resolved_at, h.created_at)')}
  from holds h where h.request_id = $3 and h.account_id = $1 and ($2::uuid is null or h.key_id = $2)`;
