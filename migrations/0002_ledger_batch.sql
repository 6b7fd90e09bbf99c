-- Group commit: settlements, checkpoints and admissions of many requests in one transaction and one round trip.
-- Lock order: accounts by id, then free days by day. Whoever has an account's row owns its holds and budget days, so
-- those need no lock of their own; lease renewal, which does not take the account, skips locked holds and never waits.
-- Each statement of a VOLATILE function sees what was committed before it began: nothing is decided on rows read
-- before their lock was had. Every money effect comes from what the guarded UPDATE of the hold returned.
create function ledger_batch(
  -- false: rows of accounts locked elsewhere come back as 'busy'; true: wait for them (up to lock_timeout).
  p_wait boolean,
  -- The operator's settings: free requests an account, USD a day for all, free streams at once, lease in seconds.
  p_free_limit integer, p_free_day_limit bigint, p_free_streams integer, p_lease_seconds double precision, p_instance uuid,
  -- Settlements. charge and cost are capped by the hold; void releases it. free_day: the hold's day where it is a free one.
  s_request uuid[], s_account uuid[], s_void boolean[], s_charge bigint[], s_cost bigint[], s_free_day date[], s_answer bytea[],
  -- Checkpoints: what a crash would charge. Only forward, only while pending and before the lease has run out.
  c_request uuid[], c_account uuid[], c_charge bigint[], c_cost bigint[],
  -- Admissions: cost = base + tokens × per_token, for a granted number of tokens between least and most.
  a_request uuid[], a_account uuid[], a_key uuid[], a_key_version integer[], a_base bigint[], a_per_token bigint[],
  a_least bigint[], a_most bigint[], a_free_max bigint[], a_rate bigint[], a_price_version integer[], a_stream boolean[],
  a_path text[], a_idempotency_key text[], a_body_sha256 bytea[]
) returns table (
  kind text, ord integer, verdict text, funding text, tokens bigint, held bigint, charge bigint, cost bigint, available bigint,
  free_used integer, free_limit integer, budget_left bigint, budget_day date, funded boolean
)
language plpgsql volatile
set lock_timeout = '1s' set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_accounts uuid[];
  v_locked uuid[];
  v_today date := (clock_timestamp() at time zone 'utc')::date;
  v_days date[];
  v_now timestamptz;
  v_account uuid;
  v_key uuid;
  v_available bigint;
  v_free_used integer;
  v_free_streams integer;
  v_budget bigint;
  v_free_day bigint;
  v_room bigint;
  v_least_cost bigint;
  r record;
  h_request uuid[] := '{}';
  h_funding text[] := '{}';
  h_msat bigint[] := '{}';
  h_cost bigint[] := '{}';
begin
  v_accounts := s_account || c_account || a_account;
  if p_wait then
    select array_agg(id) into v_locked from (select id from accounts where id = any (v_accounts) order by id for no key update) l;
  else
    select array_agg(id) into v_locked from (select id from accounts where id = any (v_accounts) order by id for no key update skip locked) l;
  end if;
  v_locked := coalesce(v_locked, '{}');

  return query
    select t.kind, t.ord::integer, case when exists (select from accounts a where a.id = t.account) then 'busy' else 'unknown_account' end,
      null::text, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::integer, null::integer, null::bigint, null::date, null::boolean
    from (
      select 's' as kind, s.ord, s.account from unnest(s_account) with ordinality s (account, ord)
      union all select 'c', c.ord, c.account from unnest(c_account) with ordinality c (account, ord)
      union all select 'a', a.ord, a.account from unnest(a_account) with ordinality a (account, ord)
    ) t where t.account <> all (v_locked);

  -- Free days come last in the lock order and are waited for: their holder needs no further lock.
  select coalesce(array_agg(distinct d), '{}') into v_days from unnest(s_free_day) d where d is not null;
  if exists (
    select from unnest(a_account, a_free_max, a_base, a_least, a_per_token) t (account, free_max, base, least, per_token)
    join accounts a on a.id = t.account
    where t.account = any (v_locked) and t.base + t.least * t.per_token <= t.free_max
      -- A slot may also come back by a void of this very batch.
      and (a.free_used < coalesce(a.free_limit, p_free_limit) or t.account in (select s.account from unnest(s_account, s_void) s (account, void) where s.void))
  ) then
    insert into free_days (day) select v_today where not exists (select from free_days where day = v_today) on conflict do nothing;
    v_days := v_days || v_today;
  end if;
  if cardinality(v_days) > 0 then
    perform 1 from (select 1 from free_days where day = any (v_days) order by day for no key update) l;
  end if;

  if cardinality(s_request) > 0 then
    return query
      with input as (
        select distinct on (t.request) t.* from unnest(s_request, s_account, s_void, s_charge, s_cost, s_answer) with ordinality
          t (request, account, void, charge, cost, answer, ord)
        where t.account = any (v_locked) order by t.request, t.ord
      ), changed as (
        update holds h set
          state = case when i.void then 'voided' else 'posted' end,
          posted_msat = case when i.void then 0 else least(i.charge, h.amount_msat) end,
          posted_pico_usd = case when i.void then 0 else least(i.cost, h.amount_pico_usd) end,
          resolved_at = clock_timestamp()
        from input i where h.request_id = i.request and h.account_id = i.account and h.state = 'pending'
        returning h.*, i.ord, i.answer
      ), charged as (
        insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id)
        select 'charge:' || c.request_id, c.account_id, 'charge', 'wallet', 'revenue', c.posted_msat,
          a.posted_msat - sum(c.posted_msat) over (partition by c.account_id order by c.ord), c.request_id
        from changed c join accounts a on a.id = c.account_id where c.posted_msat > 0 order by c.ord
      ), account_change as (
        update accounts a set
          posted_msat = a.posted_msat - d.charged, held_msat = a.held_msat - d.released,
          free_used = a.free_used - d.returned, free_streams = a.free_streams - d.streams
        from (
          select c.account_id, sum(c.posted_msat)::bigint as charged, sum(c.amount_msat)::bigint as released,
            count(*) filter (where c.funding = 'free' and c.state = 'voided')::integer as returned,
            count(*) filter (where c.funding = 'free' and c.stream)::integer as streams
          from changed c group by c.account_id
        ) d where a.id = d.account_id
        returning a.id, a.posted_msat - a.held_msat as available, a.free_used, coalesce(a.free_limit, p_free_limit) as free_limit, a.funded_at
      ), budget_change as (
        update budget_days b set reserved_pico_usd = b.reserved_pico_usd - d.released, spent_pico_usd = b.spent_pico_usd + d.spent
        from (
          select c.key_id, c.budget_day, sum(c.amount_pico_usd)::bigint as released, sum(c.posted_pico_usd)::bigint as spent
          from changed c where c.funding <> 'byok' group by c.key_id, c.budget_day
        ) d where b.key_id = d.key_id and b.day = d.budget_day
        returning b.key_id, b.day, b.reserved_pico_usd + b.spent_pico_usd as used
      ), free_change as (
        update free_days f set reserved_pico_usd = f.reserved_pico_usd - d.released, spent_pico_usd = f.spent_pico_usd + d.spent
        from (
          select c.budget_day, sum(c.amount_pico_usd)::bigint as released, sum(c.posted_pico_usd)::bigint as spent
          from changed c where c.funding = 'free' group by c.budget_day
        ) d where f.day = d.budget_day
      ), answered as (
        -- An answer that can be kept is kept in the charge's own transaction; a charge without one ends the key's use; a void frees it.
        update idempotency i set
          state = case when c.answer is null then 'interrupted' else 'done' end, answer = c.answer
        from changed c where c.idempotent and c.state = 'posted' and i.request_id = c.request_id
      ), freed as (
        delete from idempotency i using changed c where c.idempotent and c.state = 'voided' and i.request_id = c.request_id
      )
      -- A hold that was resolved before comes back with what it was resolved to.
      select 's'::text, i.ord::integer, case when c.ord = i.ord then c.state else coalesce('already_' || coalesce(c.state, h.state), 'unknown_hold') end,
        h.funding, null::bigint, h.amount_msat, coalesce(c.posted_msat, h.posted_msat), coalesce(c.posted_pico_usd, h.posted_pico_usd),
        coalesce(a.available, o.posted_msat - o.held_msat), coalesce(a.free_used, o.free_used), coalesce(a.free_limit, o.free_limit, p_free_limit),
        (select k.daily_budget_pico_usd from api_keys k where k.id = h.key_id)
          - coalesce(b.used, (select d.reserved_pico_usd + d.spent_pico_usd from budget_days d where d.key_id = h.key_id and d.day = h.budget_day)),
        h.budget_day, o.funded_at is not null
      from unnest(s_request, s_account) with ordinality i (request, account, ord)
      join accounts o on o.id = i.account
      left join holds h on h.request_id = i.request and h.account_id = i.account
      left join changed c on c.request_id = h.request_id
      left join account_change a on a.id = i.account
      left join budget_change b on b.key_id = c.key_id and b.day = c.budget_day
      where i.account = any (v_locked);
  end if;

  if cardinality(c_request) > 0 then
    return query
      with changed as (
        update holds h set
          checkpoint_msat = greatest(coalesce(h.checkpoint_msat, 0), least(t.charge, h.amount_msat)),
          checkpoint_pico_usd = greatest(coalesce(h.checkpoint_pico_usd, 0), least(t.cost, h.amount_pico_usd)),
          lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
        from unnest(c_request, c_account, c_charge, c_cost) t (request, account, charge, cost)
        where h.request_id = t.request and h.account_id = t.account and t.account = any (v_locked) and h.state = 'pending'
          and h.lease_until > clock_timestamp()
        returning h.request_id
      )
      select 'c'::text, t.ord::integer, case when c.request_id is null then 'gone' else 'kept' end,
        null::text, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::integer, null::integer, null::bigint, null::date, null::boolean
      from unnest(c_request, c_account) with ordinality t (request, account, ord)
      left join changed c on c.request_id = t.request where t.account = any (v_locked);
  end if;

  if cardinality(a_request) > 0 then
    v_now := clock_timestamp();
    select p_free_day_limit - reserved_pico_usd - spent_pico_usd into v_free_day from free_days where day = v_today;
    v_free_day := coalesce(v_free_day, p_free_day_limit);
    for r in
      select t.*, a.posted_msat - a.held_msat as available, a.free_used, coalesce(a.free_limit, p_free_limit) as free_limit, a.free_streams,
        a.funded_at is not null as funded, k.id is not null and k.revoked_at is null and coalesce(k.expires_at > v_now, true) as alive,
        k.version, k.daily_budget_pico_usd - coalesce(b.reserved_pico_usd + b.spent_pico_usd, 0) as budget_left
      from unnest(a_request, a_account, a_key, a_key_version, a_base, a_per_token, a_least, a_most, a_free_max, a_rate, a_stream,
        a_path, a_idempotency_key, a_body_sha256) with ordinality
        t (request, account, key, key_version, base, per_token, least_tokens, most_tokens, free_max, rate, stream, path, idempotency_key, body_sha256, ord)
      join accounts a on a.id = t.account
      left join api_keys k on k.id = t.key and k.account_id = t.account
      left join budget_days b on b.key_id = t.key and b.day = v_today
      where t.account = any (v_locked)
      order by t.account, t.key, t.ord
    loop
      if v_account is distinct from r.account then
        v_account := r.account; v_available := r.available; v_free_used := r.free_used; v_free_streams := r.free_streams;
      end if;
      if v_key is distinct from r.key then
        v_key := r.key; v_budget := r.budget_left;
      end if;
      kind := 'a'; ord := r.ord; verdict := null; funding := null; tokens := null; held := 0; charge := null; budget_day := v_today;
      free_limit := r.free_limit; funded := r.funded;
      v_least_cost := r.base + r.least_tokens * r.per_token;
      cost := v_least_cost;

      if not r.alive then
        verdict := 'key_gone';
      elsif r.version <> r.key_version then
        verdict := 'key_changed';
      elsif v_least_cost > v_budget then
        verdict := 'budget';
      else
        verdict := case
          when v_free_used >= r.free_limit then 'used_up'
          when v_least_cost > r.free_max then 'too_costly'
          when v_least_cost > v_free_day then 'daily_ceiling'
          when r.stream and v_free_streams >= p_free_streams then 'free_streams'
        end;
        if verdict is null then
          funding := 'free';
          v_room := least(r.free_max, v_free_day, v_budget);
        else
          held := (v_least_cost + r.rate - 1) / r.rate;
          if held <= v_available then
            funding := 'wallet';
            -- The balance is bounded before it is multiplied: past 9e18 pico-USD no request is short of it.
            v_room := least(v_budget, least(v_available, 9000000000000000000 / r.rate) * r.rate);
          end if;
        end if;
      end if;

      if funding is not null and r.idempotency_key is not null then
        insert into idempotency as i (account_id, path, key, body_sha256, request_id, expires_at)
        values (r.account, r.path, r.idempotency_key, r.body_sha256, r.request, v_now + interval '24 hours')
        on conflict (account_id, path, key) do update
          set body_sha256 = excluded.body_sha256, request_id = excluded.request_id, expires_at = excluded.expires_at, state = 'running', answer = null
          where i.expires_at < v_now and i.state <> 'running';
        if not found then
          funding := null;
          verdict := 'idempotency';
        end if;
      end if;

      if funding is not null then
        verdict := 'admitted';
        tokens := case when r.per_token = 0 then r.most_tokens else least(r.most_tokens, (v_room - r.base) / r.per_token) end;
        cost := r.base + tokens * r.per_token;
        held := case when funding = 'wallet' then (cost + r.rate - 1) / r.rate else 0 end;
        v_budget := v_budget - cost;
        v_available := v_available - held;
        if funding = 'free' then
          v_free_used := v_free_used + 1;
          v_free_day := v_free_day - cost;
          if r.stream then v_free_streams := v_free_streams + 1; end if;
        end if;
        h_request := h_request || r.request; h_funding := h_funding || funding; h_msat := h_msat || held; h_cost := h_cost || cost;
      end if;
      available := v_available; free_used := v_free_used; budget_left := v_budget;
      return next;
    end loop;

    if cardinality(h_request) > 0 then
      with added as (
        insert into holds (request_id, account_id, key_id, funding, amount_msat, amount_pico_usd, budget_day, pico_usd_per_msat, price_version,
          stream, idempotent, instance_id, lease_until)
        select h.request, t.account, t.key, h.funding, h.amount_msat, h.amount_cost, v_today, t.rate, t.price_version,
          t.stream, t.idempotency_key is not null, p_instance, v_now + make_interval(secs => p_lease_seconds)
        from unnest(h_request, h_funding, h_msat, h_cost) h (request, funding, amount_msat, amount_cost)
        join unnest(a_request, a_account, a_key, a_rate, a_price_version, a_stream, a_idempotency_key)
          t (request, account, key, rate, price_version, stream, idempotency_key) on t.request = h.request
        returning account_id, key_id, funding, amount_msat, amount_pico_usd, stream
      ), account_change as (
        update accounts a set held_msat = a.held_msat + d.held, free_used = a.free_used + d.free, free_streams = a.free_streams + d.streams
        from (
          select n.account_id, sum(n.amount_msat)::bigint as held, count(*) filter (where n.funding = 'free')::integer as free,
            count(*) filter (where n.funding = 'free' and n.stream)::integer as streams
          from added n group by n.account_id
        ) d where a.id = d.account_id
      ), budget_change as (
        insert into budget_days as b (key_id, day, account_id, reserved_pico_usd)
        select n.key_id, v_today, n.account_id, sum(n.amount_pico_usd)::bigint from added n group by n.key_id, n.account_id
        on conflict (key_id, day) do update set reserved_pico_usd = b.reserved_pico_usd + excluded.reserved_pico_usd
      )
      update free_days f set reserved_pico_usd = f.reserved_pico_usd + d.reserved
      from (select sum(n.amount_pico_usd)::bigint as reserved from added n where n.funding = 'free') d
      where f.day = v_today and d.reserved > 0;
    end if;
  end if;
end $$;
