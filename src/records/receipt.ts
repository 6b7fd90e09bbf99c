import type { Pool } from '../db/postgres.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';
import { readRequest, type RecordedRequest } from './recorded-requests.ts';
import type { RecordedAttempt } from './usage-record.ts';

/** Prices in pico-USD per token, by kind, without the markup. */
export interface ReceiptRates {
  input: PicoUsd;
  cacheRead: PicoUsd;
  cacheWrite: PicoUsd;
  cacheWriteLong: PicoUsd;
  output: PicoUsd;
}

/** What was counted: `input` is the prompt less what was read from and written to the cache; `reasoning` is a part of `output`. */
export interface ReceiptTokens {
  input: number;
  cacheRead: number;
  cacheWrite: number;
  cacheWriteLong: number;
  output: number;
  reasoning: number;
}

/** One answer that was paid for: the request's own, or one of those that a cascade asked for. */
export interface ReceiptItem {
  model: string;
  provider: string;
  tokens: ReceiptTokens;
  /** The prices that were in force; null where none were noted. */
  rates: ReceiptRates | null;
  /** The tokens at their prices, and the markup on it, rounded up. */
  costPicoUsd: PicoUsd;
}

/**
 * Why a request cost what it did. The cost is the sum of the items, never more than was reserved; in msat at the rate, rounded up; and the
 * charge is that for a wallet, 0 for a free request, and the operator's fee under a key of the caller's own.
 */
export interface Receipt {
  request: RecordedRequest;
  items: readonly ReceiptItem[];
  markupBasisPoints: bigint | null;
  /** How the money stands: `none` where nothing was ever reserved. */
  settlement: 'pending' | 'settled' | 'released' | 'refunded' | 'none';
  reservedPicoUsd: PicoUsd;
  reservedMsat: Msat;
  /** What of it was given back; null while that is not known. */
  releasedMsat: Msat | null;
  /** Null where that was not recorded. */
  attempts: readonly RecordedAttempt[] | null;
}

interface Row {
  markup_basis_points: number | null;
  state: 'pending' | 'posted' | 'voided' | 'refunded' | null;
  amount_msat: bigint | null;
  posted_msat: bigint | null;
  amount_pico_usd: bigint | null;
  tried: RecordedAttempt[] | null;
  priced: PricedItem[];
}

/** In digits where money is meant. */
interface PricedItem {
  model: string | null;
  provider: string | null;
  prompt_tokens: number;
  cached_tokens: number;
  cache_write_tokens: number;
  cache_write_long_tokens: number;
  completion_tokens: number;
  reasoning_tokens: number;
  cost_pico_usd: string;
  rates: Record<keyof ReceiptRates, string | undefined> | null;
}

/** The receipt of a request of the account, and of the key where one is named; null where there is no such request. */
export async function readReceipt(
  pool: Pool,
  { accountId, keyId }: { accountId: string; keyId: string | null },
  id: string,
): Promise<Receipt | null> {
  const request = await readRequest(pool, { accountId, keyId }, id);
  if (!request) return null;
  const { rows } = await pool.query<Row>(RECEIPT, [id]);
  const [row] = rows;
  if (!row) return null;
  const reservedMsat = msat(row.amount_msat ?? 0n);
  return {
    request,
    items: row.priced.map(itemOf),
    markupBasisPoints: row.markup_basis_points === null ? null : BigInt(row.markup_basis_points),
    settlement: settlementOf(row),
    reservedPicoUsd: picoUsd(row.amount_pico_usd ?? 0n),
    reservedMsat,
    releasedMsat: row.state === 'pending' ? null : msat(reservedMsat - request.chargedMsat),
    attempts: row.tried,
  };
}

function settlementOf({ state }: Row): Receipt['settlement'] {
  if (state === null) return 'none';
  return state === 'posted' ? 'settled' : state === 'voided' ? 'released' : state;
}

function itemOf(item: PricedItem): ReceiptItem {
  const { cached_tokens: cacheRead, cache_write_tokens: cacheWrite, cache_write_long_tokens: cacheWriteLong } = item;
  const price = (kind: keyof ReceiptRates): PicoUsd => picoUsd(BigInt(item.rates?.[kind] ?? 0));
  return {
    model: item.model ?? '',
    provider: item.provider ?? '',
    tokens: {
      ...{ input: item.prompt_tokens - cacheRead - cacheWrite - cacheWriteLong, cacheRead, cacheWrite, cacheWriteLong },
      ...{ output: item.completion_tokens, reasoning: item.reasoning_tokens },
    },
    rates: item.rates && {
      ...{ input: price('input'), cacheRead: price('cacheRead'), cacheWrite: price('cacheWrite') },
      ...{ cacheWriteLong: price('cacheWriteLong'), output: price('output') },
    },
    costPicoUsd: picoUsd(BigInt(item.cost_pico_usd)),
  };
}

/**
 * What was paid for, with the prices that were in force: of the model's card in its version, and of the step for prompts of that length. A
 * request with steps is its steps.
 */
const RECEIPT = `
  select r.markup_basis_points,
    h.state, h.amount_msat, h.posted_msat, h.amount_pico_usd, r.tried, x.priced
  from (select $1::uuid as id) asked left join requests r on r.id = asked.id left join holds h on h.request_id = asked.id
  cross join lateral (
    select coalesce(jsonb_agg(to_jsonb(i) - 'place' order by i.place), '[]') as priced from (
      select s.place, s.model, s.provider, s.prompt_tokens, s.cached_tokens, s.cache_write_tokens, s.cache_write_long_tokens, s.completion_tokens,
        s.reasoning_tokens, s.cost_pico_usd::text as cost_pico_usd,
        (select jsonb_object_agg(p.key, p.value #>> '{}') from jsonb_each(coalesce((
            select step from jsonb_array_elements(c.card -> 'steps') step where (step ->> 'fromTokens')::bigint <= s.prompt_tokens
            order by (step ->> 'fromTokens')::bigint desc limit 1), c.card)) p
          where p.key in ('input', 'cacheRead', 'cacheWrite', 'cacheWriteLong', 'output')) as rates
      from (
        select 1::bigint as place, r.model, r.provider, r.prompt_tokens, r.cached_tokens, r.cache_write_tokens, r.cache_write_long_tokens,
          r.completion_tokens, r.reasoning_tokens, r.cost_pico_usd::numeric as cost_pico_usd, r.price_version, r.priced_as
        where r.steps is null and r.model is not null
        union all
        select e.place, t.model, t.provider, t.prompt_tokens, t.cached_tokens, t.cache_write_tokens, t.cache_write_long_tokens, t.completion_tokens,
          t.reasoning_tokens, t.cost_pico_usd, t.price_version, t.priced_as
        from jsonb_array_elements(r.steps) with ordinality e (step, place) cross join lateral jsonb_to_record(e.step) t (model text, provider text,
          prompt_tokens bigint, cached_tokens bigint, cache_write_tokens bigint, cache_write_long_tokens bigint, completion_tokens bigint,
          reasoning_tokens bigint, cost_pico_usd numeric, price_version integer, priced_as text)
      ) s left join lateral (
        select v.prices -> s.priced_as as card from price_versions v where v.version = s.price_version
      ) c on true
    ) i
  ) x`;
