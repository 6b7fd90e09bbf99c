import type { Pool } from '../db/postgres.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from '../ledger/amount.ts';
import type { Funding } from '../ledger/hold.ts';
import { UNRECORDED } from '../ledger/spend.ts';

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
  funding: Funding | null;
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
  upstreamRequestId: string | null;
  clientRequestId: string | null;
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
  funding: Funding | null;
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
  upstream_request_id: string | null;
  client_request_id: string | null;
}

/** A page of an account's requests, newest first. Charged ones whose record was lost are among them, without a name; refunded ones cost nothing. */
export async function readRequests(pool: Pool, { accountId, keyId, after, limit }: RequestPage): Promise<RecordedRequest[]> {
  const { rows } = await pool.query<Row>(REQUESTS, [accountId, keyId, after?.atMicros ?? null, after?.id ?? null, limit, UNRECORDED]);
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
    upstreamRequestId: row.upstream_request_id,
    clientRequestId: row.client_request_id,
    position: { atMicros: row.at_micros, id: row.id },
  }));
}

/**
 * `lost` looks for holds without a record only as far back as the page of records goes, so that it reads no more than
 * a page of holds, whatever the account's history.
 */
const REQUESTS = `
  with recorded as (
    select r.id, r.key_id, r.created_at as at, r.path, r.requested_model, r.model, r.provider, r.tier, r.stream, r.outcome, r.status,
      r.error_code, coalesce(h.funding, r.funding) as funding, r.prompt_tokens, r.completion_tokens, r.cached_tokens, r.reasoning_tokens,
      coalesce(h.posted_pico_usd, 0) as cost_pico_usd,
      coalesce((h.posted_pico_usd + h.pico_usd_per_msat - 1) / h.pico_usd_per_msat, 0) as cost_msat, coalesce(h.posted_msat, 0) as charged_msat,
      r.latency_ms, r.ttft_ms, r.explored, r.upstream_request_id, r.client_request_id
    from requests r left join holds h on h.request_id = r.id
      and not exists (select from transfers t where t.account_id = $1 and t.request_id = r.id and t.kind = 'refund')
    where r.account_id = $1 and ($2::uuid is null or r.key_id = $2) and ($3::bigint is null or (r.created_at, r.id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4::uuid))
    order by r.created_at desc, r.id desc limit $5
  ), lost as (
    select h.request_id, h.key_id, h.resolved_at, null::text, null::text, $6::text, $6::text, null::text, h.stream, $6::text, null::integer,
      null::text, h.funding, 0::bigint, 0::bigint, 0::bigint, 0::bigint,
      h.posted_pico_usd, (h.posted_pico_usd + h.pico_usd_per_msat - 1) / h.pico_usd_per_msat, h.posted_msat,
      null::double precision, null::double precision, false, null::text, null::text
    from holds h
    where h.account_id = $1 and h.state = 'posted' and ($2::uuid is null or h.key_id = $2)
      and ($3::bigint is null or (h.resolved_at, h.request_id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4::uuid))
      and h.resolved_at >= coalesce((select min(at) from recorded having count(*) = $5), '-infinity')
      and not exists (select from requests r where r.id = h.request_id)
    order by h.resolved_at desc, h.request_id desc limit $5
  )
  select page.*, page.at as created_at, (extract(epoch from page.at) * 1000000)::bigint as at_micros
  from (select * from recorded union all select * from lost) page order by page.at desc, page.id desc limit $5`;
