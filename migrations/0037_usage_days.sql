-- The sums by hour once more by UTC day, so that a month is thirty of them; those of keys without the names, as a key's days by model and
-- outcome are nearly as many as its requests. `hour` is the first one of the day.
create table usage_days (
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

create table key_usage_days (
  account_id uuid not null,
  hour timestamptz not null,
  key_id uuid not null,
  requests bigint not null,
  explored bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost_pico_usd bigint not null,
  cost_msat bigint not null,
  charged_msat bigint not null,
  primary key (account_id, hour, key_id)
) with (fillfactor = 80);

-- As of 0029, and these tables too.
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
  )
  insert into key_usage_hours as u select * from cells order by account_id, hour, key_id, model, provider, outcome, funding
  on conflict (account_id, hour, key_id, model, provider, outcome, funding) do update set
    requests = u.requests + excluded.requests, explored = u.explored + excluded.explored,
    prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, completion_tokens = u.completion_tokens + excluded.completion_tokens,
    cost_pico_usd = u.cost_pico_usd + excluded.cost_pico_usd, cost_msat = u.cost_msat + excluded.cost_msat,
    charged_msat = u.charged_msat + excluded.charged_msat;
end $$;

-- As of 0029, but from the beginning of a day, and these tables too.
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
end $$;
-- What is summed already is summed again.
select usage_begin_at('2000-01-01');

-- `transfer_place` of several times, which come in order: each search begins where the one before ended.
create function transfer_places(p_account uuid, p_times timestamptz[]) returns bigint[]
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
declare
  v_places bigint[] := '{}';
  v_low bigint;
  v_low_at timestamptz;
  v_past bigint;
  v_past_at timestamptz;
  v_high bigint;
  v_high_at timestamptz;
  v_middle bigint;
  v_id bigint;
  v_at timestamptz;
  v_time timestamptz;
  v_halve boolean;
begin
  select id, created_at into v_low, v_low_at from transfers where account_id = p_account order by id limit 1;
  if v_low is null then return array_fill(0::bigint, array[cardinality(p_times)]); end if;
  select id + 1, created_at into v_past, v_past_at from transfers where account_id = p_account order by id desc limit 1;
  foreach v_time in array p_times loop
    v_high := v_past; v_high_at := v_past_at; v_halve := false;
    while v_low < v_high loop
      -- In turns in the middle, and where the time would be if all went on evenly.
      v_middle := v_low + case when v_halve or v_high_at <= v_low_at then (v_high - v_low) / 2
        else greatest(0, least(v_high - v_low - 1, ((v_high - v_low) * (extract(epoch from v_time - v_low_at) / extract(epoch from v_high_at - v_low_at)))::bigint)) end;
      v_halve := not v_halve;
      select id, created_at into v_id, v_at from transfers where account_id = p_account and id >= v_middle order by id limit 1;
      if v_at >= v_time then v_high := v_middle; v_high_at := v_at; else v_low := v_id + 1; v_low_at := v_at; end if;
    end loop;
    v_places := v_places || v_low;
  end loop;
  return v_places;
end $$;
