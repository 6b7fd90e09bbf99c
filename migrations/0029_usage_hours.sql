-- Sums of what was used, by hour, so that a report of a month does not read a month of holds. They follow from `holds` and `requests` and
-- decide nothing: a job adds what was charged, a few seconds later, up to `rolled_to`; a report takes the rest from the rows themselves.
-- Nothing here is on a request's way, and gateways of the version before are counted too.

-- Which provider was asked, with what result: a list. Null in records from before.
alter table requests add column tried jsonb check (jsonb_typeof(tried) = 'array');

-- What each hold came to, by the names in its record; `unrecorded` where a crash took that. The one definition of these figures.
create view usage_figures as
select h.request_id, h.account_id, h.key_id, h.state, h.resolved_at, date_trunc('hour', h.resolved_at, 'UTC') as hour,
  coalesce(r.model, 'unrecorded') as model, coalesce(r.provider, 'unrecorded') as provider, coalesce(r.outcome, 'unrecorded') as outcome, h.funding,
  1::bigint as requests, coalesce(r.explored, false)::integer::bigint as explored, coalesce(r.prompt_tokens, 0) as prompt_tokens,
  coalesce(r.completion_tokens, 0) as completion_tokens, h.posted_pico_usd as cost_pico_usd,
  (h.posted_pico_usd + h.pico_usd_per_msat - 1) / h.pico_usd_per_msat as cost_msat, h.posted_msat as charged_msat
from holds h left join requests r on r.id = h.request_id;

create table usage_hours (
  account_id uuid not null,
  hour timestamptz not null,
  model text not null,
  provider text not null,
  outcome text not null,
  funding text not null,
  requests bigint not null,
  explored bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost_pico_usd bigint not null,
  cost_msat bigint not null,
  charged_msat bigint not null,
  primary key (account_id, hour, model, provider, outcome, funding)
) with (fillfactor = 80);

-- The same by key: of an account with thousands of keys it is as long as its requests, so that the account's own sums do without it.
create table key_usage_hours (
  account_id uuid not null,
  hour timestamptz not null,
  key_id uuid not null,
  model text not null,
  provider text not null,
  outcome text not null,
  funding text not null,
  requests bigint not null,
  explored bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost_pico_usd bigint not null,
  cost_msat bigint not null,
  charged_msat bigint not null,
  primary key (account_id, hour, key_id, model, provider, outcome, funding)
) with (fillfactor = 80);
create index key_usage_hours_key on key_usage_hours (key_id, hour);

-- How far the sums go. What was charged before `rolled_to` is in them. Before `closed_to` nothing is added in silence any more: whoever
-- changes what was charged before it corrects the sums in the same transaction. Between the two lies what is being added.
create table usage_rollup (
  only_row boolean primary key default true check (only_row),
  rolled_to timestamptz not null,
  closed_to timestamptz not null,
  -- Every transaction below this one has read the present `closed_to`, or has ended. Null until that is known.
  barrier xid8,
  check (rolled_to <= closed_to)
);
-- Before everything: the job begins with what is there already, in short steps.
insert into usage_rollup (rolled_to, closed_to) values ('2000-01-01 00:00+00', '2000-01-01 00:00+00');

-- Adds to both tables, or takes from them:
--   'charged'   what was charged from p_from on and before p_to
--   'recorded'  of the requests, charged before p_to, whose record came late: they had no names until now
--   'refunded'  of the requests, charged before p_to, whose charge was given back
-- In the order of the keys, so that two of them never wait for each other.
create function usage_add(p_kind text, p_from timestamptz, p_to timestamptz, p_requests uuid[]) returns void
language plpgsql volatile set plan_cache_mode = force_custom_plan as $$
begin
  with figures as (
    select 1 as sign, u.account_id, u.hour, u.key_id, u.model, u.provider, u.outcome, u.funding, u.requests, u.explored, u.prompt_tokens,
      u.completion_tokens, u.cost_pico_usd, u.cost_msat, u.charged_msat
    from usage_figures u where p_kind = 'charged' and u.state = 'posted' and u.resolved_at >= p_from and u.resolved_at < p_to
    union all
    select case when p_kind = 'refunded' then -1 else 1 end, u.account_id, u.hour, u.key_id, u.model, u.provider, u.outcome, u.funding, u.requests,
      u.explored, u.prompt_tokens, u.completion_tokens, u.cost_pico_usd, u.cost_msat, u.charged_msat
    from usage_figures u
    where u.request_id = any (p_requests) and u.resolved_at < p_to
      and ((p_kind = 'recorded' and u.state = 'posted') or (p_kind = 'refunded' and u.state = 'refunded'))
    union all
    select -1, u.account_id, u.hour, u.key_id, 'unrecorded', 'unrecorded', 'unrecorded', u.funding, u.requests, 0, 0, 0, u.cost_pico_usd,
      u.cost_msat, u.charged_msat
    from usage_figures u where p_kind = 'recorded' and u.request_id = any (p_requests) and u.state = 'posted' and u.resolved_at < p_to
  ), cells as materialized (
    select account_id, hour, key_id, model, provider, outcome, funding, sum(sign * requests)::bigint as requests,
      sum(sign * explored)::bigint as explored, sum(sign * prompt_tokens)::bigint as prompt_tokens,
      sum(sign * completion_tokens)::bigint as completion_tokens, sum(sign * cost_pico_usd)::bigint as cost_pico_usd,
      sum(sign * cost_msat)::bigint as cost_msat, sum(sign * charged_msat)::bigint as charged_msat
    from figures group by account_id, hour, key_id, model, provider, outcome, funding
  ), of_accounts as (
    insert into usage_hours as u
    select account_id, hour, model, provider, outcome, funding, sum(requests)::bigint, sum(explored)::bigint, sum(prompt_tokens)::bigint,
      sum(completion_tokens)::bigint, sum(cost_pico_usd)::bigint, sum(cost_msat)::bigint, sum(charged_msat)::bigint
    from cells group by account_id, hour, model, provider, outcome, funding order by account_id, hour, model, provider, outcome, funding
    on conflict (account_id, hour, model, provider, outcome, funding) do update set
      requests = u.requests + excluded.requests, explored = u.explored + excluded.explored,
      prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, completion_tokens = u.completion_tokens + excluded.completion_tokens,
      cost_pico_usd = u.cost_pico_usd + excluded.cost_pico_usd, cost_msat = u.cost_msat + excluded.cost_msat,
      charged_msat = u.charged_msat + excluded.charged_msat
  )
  insert into key_usage_hours as u select * from cells order by account_id, hour, key_id, model, provider, outcome, funding
  on conflict (account_id, hour, key_id, model, provider, outcome, funding) do update set
    requests = u.requests + excluded.requests, explored = u.explored + excluded.explored,
    prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, completion_tokens = u.completion_tokens + excluded.completion_tokens,
    cost_pico_usd = u.cost_pico_usd + excluded.cost_pico_usd, cost_msat = u.cost_msat + excluded.cost_msat,
    charged_msat = u.charged_msat + excluded.charged_msat;
end $$;

-- Corrects the sums for requests that were charged long enough ago to be in them. `for share`: the job does not add meanwhile, so that each
-- of them either is in the sums or will be seen by the job as it is now. The holds are locked, so that a record and a refund of the same
-- request know of each other.
create function usage_correct(p_kind text, p_requests uuid[]) returns void language plpgsql volatile as $$
declare
  v_rolled_to timestamptz;
begin
  perform 1 from holds where request_id = any (p_requests) order by request_id for no key update;
  perform 1 from usage_rollup for share;
  select rolled_to into v_rolled_to from usage_rollup;
  perform usage_add(p_kind, null, v_rolled_to, p_requests);
end $$;

-- A record that came after its charge was closed.
create function usage_recorded() returns trigger language plpgsql as $$
declare
  v_late uuid[];
begin
  select array_agg(n.id) into v_late from added n join holds h on h.request_id = n.id
  where h.resolved_at < (select closed_to from usage_rollup) and h.state = 'posted';
  if v_late is not null then perform usage_correct('recorded', v_late); end if;
  return null;
end $$;
create trigger requests_usage after insert on requests referencing new table as added for each statement execute function usage_recorded();

-- Charges that were never pending: a history that is brought in from elsewhere. The sums begin anew where it begins.
create function usage_begin_at(p_from timestamptz) returns void language plpgsql volatile as $$
declare
  v_from timestamptz := date_trunc('hour', p_from, 'UTC');
begin
  perform 1 from usage_rollup where closed_to > v_from for update;
  if not found then return; end if;
  update usage_rollup set rolled_to = least(rolled_to, v_from), closed_to = least(rolled_to, v_from), barrier = null;
  delete from usage_hours where hour >= v_from;
  delete from key_usage_hours where hour >= v_from;
end $$;
create function usage_brought_in() returns trigger language plpgsql as $$
begin
  if new.resolved_at < (select closed_to from usage_rollup) then perform usage_begin_at(new.resolved_at); end if;
  return null;
end $$;
create trigger holds_usage after insert on holds for each row when (new.resolved_at is not null) execute function usage_brought_in();

-- As of 0013, and the sums of usage follow.
create or replace function ledger_refund(p_account uuid, p_request uuid) returns boolean language plpgsql volatile set lock_timeout = '2s' as $$
declare
  v_hold holds;
  v_replayed boolean;
  v_refunded bigint := 0;
begin
  perform 1 from accounts where id = p_account for no key update;
  select * into v_hold from holds where request_id = p_request and account_id = p_account and state = 'posted';
  if not found then return false; end if;
  if v_hold.funding = 'free' then
    perform 1 from free_days where day = v_hold.budget_day for no key update;
  end if;
  if v_hold.idempotent then
    -- Whoever repeats the request waits for this row, or had it first.
    select replayed into v_replayed from idempotency where request_id = p_request for update;
    if v_replayed then return false; end if;
    delete from idempotency where request_id = p_request;
  end if;

  update holds set state = 'refunded' where request_id = p_request;
  if v_hold.resolved_at < (select closed_to from usage_rollup) then
    perform usage_correct('refunded', array[p_request]);
  end if;
  -- The amount is the charge's own, so that no refund gives back more than was taken. A gateway of the version before may have done it.
  insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id, key_id)
  select 'refund:' || p_request, p_account, 'refund', 'revenue', 'wallet', t.amount_msat, a.posted_msat + t.amount_msat, p_request, v_hold.key_id
  from transfers t join accounts a on a.id = t.account_id
  where t.idempotency_key = 'charge:' || p_request and t.account_id = p_account
  on conflict (idempotency_key) do nothing
  returning amount_msat into v_refunded;
  update accounts set posted_msat = posted_msat + coalesce(v_refunded, 0), free_used = free_used - (v_hold.funding = 'free')::integer,
    free_spent_pico_usd = free_spent_pico_usd
      - case when v_hold.funding = 'free' and free_day = v_hold.budget_day then least(v_hold.posted_pico_usd, free_spent_pico_usd) else 0 end
  where id = p_account;
  if v_hold.funding <> 'byok' then
    update budget_days set spent_pico_usd = spent_pico_usd - v_hold.posted_pico_usd where key_id = v_hold.key_id and day = v_hold.budget_day;
  end if;
  if v_hold.funding = 'free' then
    update free_days set spent_pico_usd = spent_pico_usd - v_hold.posted_pico_usd where day = v_hold.budget_day;
  end if;
  return true;
end $$;
