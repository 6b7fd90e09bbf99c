-- The sums of keys by UTC day once more, under one name at a time: a report of a model's keys, an outcome's or a funding's reads as many rows as
-- there are keys and days, where those by hour have one for each combination of names. `hour` is the first one of the day.
create table key_name_days (
  account_id uuid not null,
  -- Every request is in it once under each kind.
  kind text not null check (kind in ('model', 'outcome', 'funding')),
  name text not null,
  hour timestamptz not null,
  key_id uuid not null,
  requests bigint not null,
  explored bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost_pico_usd bigint not null,
  cost_msat bigint not null,
  charged_msat bigint not null,
  primary key (account_id, kind, name, hour, key_id)
) with (fillfactor = 80);

-- What is summed already is taken over. Nothing is added or corrected until this is committed.
select from usage_rollup for update;
insert into key_name_days
select account_id, n.kind, n.name, date_trunc('day', hour, 'UTC'), key_id,
  sum(requests)::bigint, sum(explored)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint,
  sum(cost_pico_usd)::bigint, sum(cost_msat)::bigint, sum(charged_msat)::bigint
from key_usage_hours cross join lateral (values ('model', model), ('outcome', outcome), ('funding', funding)) n (kind, name)
group by 1, 2, 3, 4, 5;

-- As of 0037, and this table too. Gateways of the version before call it as well.
create or replace function usage_add(p_kind text, p_from timestamptz, p_to timestamptz, p_requests uuid[]) returns void
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
  ), of_days as (
    insert into usage_days as u
    select account_id, date_trunc('day', hour, 'UTC'), model, provider, outcome, funding,
      sum(requests)::bigint, sum(explored)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint,
      sum(cost_pico_usd)::bigint, sum(cost_msat)::bigint, sum(charged_msat)::bigint
    from cells group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6
    on conflict (account_id, hour, model, provider, outcome, funding) do update set
      requests = u.requests + excluded.requests, explored = u.explored + excluded.explored,
      prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = u.completion_tokens + excluded.completion_tokens,
      cost_pico_usd = u.cost_pico_usd + excluded.cost_pico_usd, cost_msat = u.cost_msat + excluded.cost_msat,
      charged_msat = u.charged_msat + excluded.charged_msat
  ), of_key_days as (
    insert into key_usage_days as u
    select account_id, date_trunc('day', hour, 'UTC'), key_id,
      sum(requests)::bigint, sum(explored)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint,
      sum(cost_pico_usd)::bigint, sum(cost_msat)::bigint, sum(charged_msat)::bigint
    from cells group by 1, 2, 3 order by 1, 2, 3
    on conflict (account_id, hour, key_id) do update set
      requests = u.requests + excluded.requests, explored = u.explored + excluded.explored,
      prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = u.completion_tokens + excluded.completion_tokens,
      cost_pico_usd = u.cost_pico_usd + excluded.cost_pico_usd, cost_msat = u.cost_msat + excluded.cost_msat,
      charged_msat = u.charged_msat + excluded.charged_msat
  ), of_key_names as (
    insert into key_name_days as u
    select account_id, n.kind, n.name, date_trunc('day', hour, 'UTC'), key_id,
      sum(requests)::bigint, sum(explored)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint,
      sum(cost_pico_usd)::bigint, sum(cost_msat)::bigint, sum(charged_msat)::bigint
    from cells cross join lateral (values ('model', model), ('outcome', outcome), ('funding', funding)) n (kind, name)
    group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
    on conflict (account_id, kind, name, hour, key_id) do update set
      requests = u.requests + excluded.requests, explored = u.explored + excluded.explored,
      prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = u.completion_tokens + excluded.completion_tokens,
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

create or replace function usage_begin_at(p_from timestamptz) returns void language plpgsql volatile as $$
declare
  v_from timestamptz := date_trunc('day', p_from, 'UTC');
begin
  perform 1 from usage_rollup where closed_to > v_from for update;
  if not found then return; end if;
  update usage_rollup set rolled_to = least(rolled_to, v_from), closed_to = least(rolled_to, v_from), barrier = null;
  delete from usage_hours where hour >= v_from;
  delete from usage_days where hour >= v_from;
  delete from key_usage_hours where hour >= v_from;
  delete from key_usage_days where hour >= v_from;
  delete from key_name_days where hour >= v_from;
end $$;
