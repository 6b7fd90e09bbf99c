import type { Invariant } from './invariant.ts';

const roundedUp = (picoUsd: string) => `div(${picoUsd}::numeric + h.pico_usd_per_msat - 1, h.pico_usd_per_msat)`;
const rateOf = (field: string) => `(c.rates ->> '${field}')::numeric`;

/**
 * What a request costs by the prices that its record names: every version's cards, their long-context steps among them. The sum is
 * that of pricing/cost.ts, worked out by another program on purpose.
 */
const PRICED = `
  with cards as materialized (
    select v.version, p.key as priced_as, s.from_tokens, s.rates,
      coalesce(lead(s.from_tokens) over (partition by v.version, p.key order by s.from_tokens), 9223372036854775807) as until_tokens
    from price_versions v, jsonb_each(v.prices) p, lateral (
      select 0::bigint as from_tokens, p.value as rates
      union all select (step ->> 'fromTokens')::bigint, step from jsonb_array_elements(p.value -> 'steps') step) s
  )`;

const USAGE_SUMS = [
  'usage_hours',
  'usage_days',
  'key_usage_hours',
  'key_usage_days',
  'key_model_days',
  'key_outcome_days',
  'key_funding_days',
];
const ofKind = (kind: string): string => `key_${kind}_days as (select * from key_name_days where kind = '${kind}')`;

/** Rules on what was charged for which request, and on what waits for somebody to go on with it. */
export const RECORD_INVARIANTS: readonly Invariant[] = [
  {
    invariant: 10,
    rule: 'a hold on a wallet reserves and charges what its cost is at its rate, rounded up',
    sql: ({ holds }) => `select h.request_id as subject,
        concat(${roundedUp('h.amount_pico_usd')}, ' held, ', ${roundedUp('h.posted_pico_usd')}, ' charged') as expected,
        concat(h.amount_msat, ' held, ', h.posted_msat, ' charged') as found
      from ${holds} h
      where h.funding = 'wallet' and (h.amount_msat <> ${roundedUp('h.amount_pico_usd')} or h.posted_msat <> ${roundedUp('h.posted_pico_usd')})`,
  },
  {
    invariant: 10,
    rule: "a hold under a client's own provider key charges its whole fee, or nothing",
    sql: ({ holds }) => `select h.request_id as subject, h.amount_msat as expected, h.posted_msat as found
      from ${holds} h where h.funding = 'byok' and h.posted_msat not in (0, h.amount_msat)`,
  },
  {
    invariant: 10,
    rule: "a request's record tells what its hold charged",
    sql: ({ holds }) => `select h.request_id as subject,
        concat_ws(' ', h.account_id, h.key_id, h.funding, h.posted_pico_usd, h.posted_msat, h.pico_usd_per_msat) as expected,
        concat_ws(' ', r.account_id, r.key_id, r.funding, r.cost_pico_usd, r.charged_msat, r.pico_usd_per_msat) as found
      from ${holds} h join requests r on r.id = h.request_id
      where (r.account_id, r.key_id, r.funding, r.pico_usd_per_msat) is distinct from (h.account_id, h.key_id, h.funding, h.pico_usd_per_msat)
        or (h.state <> 'pending' and r.outcome not in ('lease_lost', 'unsettled')
          and (r.cost_pico_usd, r.charged_msat) is distinct from (h.posted_pico_usd, h.posted_msat))`,
  },
  {
    invariant: 10,
    rule: "a request's cost is its tokens at the prices in force, within its hold",
    sql: ({ holds }) => `${PRICED}
      select * from (
        select r.id as subject, r.cost_pico_usd as found, least(h.amount_pico_usd, ceil((
            (r.prompt_tokens - r.cached_tokens - r.cache_write_tokens - r.cache_write_long_tokens) * ${rateOf('input')}
            + r.cache_write_tokens * ${rateOf('cacheWrite')} + r.cache_write_long_tokens * coalesce(${rateOf('cacheWriteLong')}, 0)
            + r.cached_tokens * ${rateOf('cacheRead')} + r.completion_tokens * ${rateOf('output')}
          ) * (10000 + r.markup_basis_points) / 10000)) as expected, r.cost_msat <> ${roundedUp('r.cost_pico_usd')} as misrounded
        from ${holds} h join requests r on r.id = h.request_id
        left join cards c on c.version = r.price_version and c.priced_as = r.priced_as
          and r.prompt_tokens >= c.from_tokens and r.prompt_tokens < c.until_tokens
        where r.markup_basis_points is not null and r.priced_as is not null) priced
      where expected <> found or misrounded`,
  },
  {
    invariant: 10,
    rule: "a cascade's cost and tokens are those of its steps, at the prices in force, within its hold",
    // A price that is not known makes the sum unknown, and so the record wrong.
    sql: ({ holds }) => `${PRICED}
      select r.id as subject, concat_ws(' ', least(h.amount_pico_usd, x.cost), x.prompt, x.completion) as expected,
        concat_ws(' ', r.cost_pico_usd, r.prompt_tokens, r.completion_tokens) as found
      from ${holds} h join requests r on r.id = h.request_id cross join lateral (
        select coalesce(sum(s.prompt_tokens), 0) as prompt, coalesce(sum(s.completion_tokens), 0) as completion,
          case when count(*) = count(c.version) then coalesce(sum(p.cost), 0) end as cost,
          coalesce(bool_or(s.cost_pico_usd is distinct from p.cost), false) as mispriced
        from jsonb_to_recordset(r.steps) s (price_version integer, priced_as text, prompt_tokens bigint, cached_tokens bigint,
          cache_write_tokens bigint, cache_write_long_tokens bigint, completion_tokens bigint, cost_pico_usd numeric)
        left join cards c on c.version = s.price_version and c.priced_as = s.priced_as
          and s.prompt_tokens >= c.from_tokens and s.prompt_tokens < c.until_tokens
        cross join lateral (select ceil((
            (s.prompt_tokens - s.cached_tokens - s.cache_write_tokens - s.cache_write_long_tokens) * ${rateOf('input')}
            + s.cache_write_tokens * ${rateOf('cacheWrite')} + s.cache_write_long_tokens * coalesce(${rateOf('cacheWriteLong')}, 0)
            + s.cached_tokens * ${rateOf('cacheRead')} + s.completion_tokens * ${rateOf('output')}
          ) * (10000 + r.markup_basis_points) / 10000) as cost) p) x
      where r.steps is not null and (x.cost is null or x.mispriced or least(h.amount_pico_usd, x.cost) <> r.cost_pico_usd
        or r.cost_msat <> ${roundedUp('r.cost_pico_usd')} or (x.prompt, x.completion) <> (r.prompt_tokens, r.completion_tokens))`,
  },
  {
    invariant: 10,
    rule: 'what cost something names its prices',
    // Records from before they did have no markup either.
    sql: ({ holds }) => `select r.id as subject, 'prices, or steps' as expected, r.cost_pico_usd as found
      from ${holds} h join requests r on r.id = h.request_id
      where r.markup_basis_points is not null and r.cost_pico_usd > 0 and r.steps is null and (r.priced_as is null or r.price_version is null)`,
  },
  {
    invariant: 10,
    rule: 'the exchange rate of a hold is one that was in force, at most twice or half of it',
    sql: ({ holds }) => `select h.request_id as subject, concat(d.least, ' to ', d.most) as expected, h.pico_usd_per_msat as found
      from ${holds} h join lateral (
        select min(least_pico_usd_per_msat) as least, max(most_pico_usd_per_msat) as most from exchange_rate_days
        where day between h.budget_day - 1 and h.budget_day + 1) d on h.pico_usd_per_msat not between d.least / 2 and d.most * 2`,
  },
  {
    invariant: 10,
    rule: 'the sums of usage by hour and by day are what the ledger charged',
    runs: 'whole',
    sql: () => `with ${['model', 'outcome', 'funding'].map(ofKind).join(', ')}, charged as (
        select account_id, count(*) as requests, sum(posted_pico_usd) as cost, sum(posted_msat) as charged from holds
        where state = 'posted' and resolved_at < (select rolled_to from usage_rollup) group by account_id
      ), ${USAGE_SUMS.map(
        (table) => `of_${table} as (select account_id, sum(requests) as requests, sum(cost_pico_usd) as cost, sum(charged_msat) as charged
        from ${table} group by account_id having sum(requests) <> 0 or sum(charged_msat) <> 0)`,
      ).join(', ')}
      ${USAGE_SUMS.map(
        (table) => `select coalesce(c.account_id, s.account_id) as subject, concat_ws(' ', c.requests, c.cost, c.charged) as expected,
          concat_ws(' ', s.requests, s.cost, s.charged) as found
        from charged c full join of_${table} s on s.account_id = c.account_id
        where (c.requests, c.cost, c.charged) is distinct from (s.requests, s.cost, s.charged)`,
      ).join(' union all ')}`,
  },
  {
    invariant: 11,
    rule: 'every adjustment belongs to a write-off, or is what an operator has recorded',
    sql: ({ transfers }) => `select t.id as subject, coalesce((a.details ->> 'changeMsat')::numeric, 0) as expected, c.msat as found
      from ${transfers} t cross join lateral (select case when t.credit = 'wallet' then t.amount_msat else -t.amount_msat end as msat) c
        left join admin_acts a on t.idempotency_key = 'adjustment:' || a.id and a.act = 'adjust' and a.subject = t.account_id::text
      where t.kind = 'adjustment' and (a.details ->> 'changeMsat')::numeric is distinct from c.msat and not exists (
        select from write_offs w where t.idempotency_key = 'write-off:' || w.id || ':' || t.account_id and t.credit = 'write_off')`,
  },
  {
    invariant: 11,
    rule: 'a write-off is the sum of its adjustments',
    runs: 'whole',
    sql: () => `select w.id as subject, coalesce(sum(t.amount_msat), 0) as expected, w.written_off_msat as found
      from write_offs w left join transfers t on t.kind = 'adjustment' and t.idempotency_key = 'write-off:' || w.id || ':' || t.account_id
      group by w.id, w.written_off_msat having coalesce(sum(t.amount_msat), 0) <> w.written_off_msat`,
  },
  {
    invariant: 11,
    rule: 'an Idempotency-Key is running while its hold is pending, and no longer',
    sql: () => `select i.request_id as subject, 'pending' as expected, coalesce(h.state, 'no hold') as found
      from idempotency i left join holds h on h.request_id = i.request_id and h.account_id = i.account_id and h.idempotent
      where i.state = 'running' and h.state is distinct from 'pending'
      union all
      select h.request_id, 'running', coalesce(i.state, 'no key')
      from holds h left join idempotency i on i.request_id = h.request_id and i.account_id = h.account_id
      where h.state = 'pending' and h.idempotent and i.state is distinct from 'running'`,
  },
  {
    invariant: 11,
    rule: 'an invoice that may still be paid is on the schedule',
    // The schedule's longest pause is six hours.
    sql: () => `select id as subject, 'a check within hours' as expected, coalesce(next_check_at::text, 'none') as found
      from invoices where next_check_at > clock_timestamp() + interval '7 hours' or (next_check_at is null and (
        state in ('creating', 'open') or (state in ('expired', 'canceled') and expires_at > clock_timestamp() - interval '1 hour')))`,
  },
  {
    invariant: 11,
    rule: 'no withdrawal is under way a day after its invoice has expired, or off the schedule',
    sql: () => `select id as subject, 'paid or failed by ' || expires_at + interval '1 day' as expected, concat(state, ', next check ', next_check_at) as found
      from withdrawals where state in ('creating', 'sent')
        and (expires_at < clock_timestamp() - interval '1 day' or next_check_at > clock_timestamp() + interval '2 days')`,
  },
];
