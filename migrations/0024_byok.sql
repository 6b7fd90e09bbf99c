-- A request may be served under its caller's own key at the provider, who bills the caller. Its hold keeps the operator's fee in the wallet and
-- nothing else: no free slot, and nothing of the key's budget. Its cost is on the hold all the same, for the reports.

-- No gateway that was released calls the one of 0013. What that file says of a batch's cost, of the lock order and of the rows on which
-- something may be decided holds here too.
drop function ledger_commit;
create function ledger_commit(
  -- false: rows of accounts locked elsewhere come back as 'busy'; true: wait for them (up to lock_timeout).
  p_wait boolean,
  -- The operator's settings: free requests an account, USD a day for all and for one account, free streams and free requests of an
  -- account at once, bytes of stored answers an account a day for what is paid and for what is free, lease in seconds.
  p_free_limit integer, p_free_day_limit bigint, p_free_share bigint, p_free_streams integer, p_free_at_once integer,
  p_answer_bytes bigint, p_free_answer_bytes bigint, p_lease_seconds double precision, p_instance uuid,
  -- The accounts of all rows, each once, by id; and the days of the free holds among the settlements.
  p_accounts uuid[], p_free_days date[],
  -- Settlements. charge and cost are capped by the hold; void releases it. s_answer is empty where no row has one, and is kept as far
  -- as the account's bytes of the day go.
  s_request uuid[], s_account integer[], s_void boolean[], s_charge bigint[], s_cost bigint[], s_answer bytea[],
  -- Checkpoints: what a crash would charge. Only forward, only while pending and before the lease has run out.
  c_request uuid[], c_account integer[], c_charge bigint[], c_cost bigint[],
  -- Admissions: cost = base + tokens × per_token, for a granted number of tokens between least and most.
  a_request uuid[], a_account integer[], a_key uuid[], a_key_version integer[], a_base bigint[], a_per_token bigint[],
  a_least bigint[], a_most bigint[], a_free_max bigint[], a_rate bigint[], a_price_version integer[], a_stream boolean[],
  -- Empty where no row has an Idempotency-Key.
  a_path text[], a_idempotency_key text[], a_body_sha256 bytea[],
  -- The operator's fee where the caller's own key at the provider serves, and null where it does not. Empty where it serves no row.
  a_fee bigint[],
  -- By place: null where all accounts were locked, else 'locked', 'busy' or 'unknown'.
  out account_state text[],
  -- How the locked accounts, by id, and the keys stand after the batch.
  out available bigint[], out free_used integer[], out free_limit integer[], out funded boolean[],
  out budget_key uuid[], out budget_day date[], out budget_left bigint[],
  -- Of the settlements of locked accounts, in any order; `s_ord` is the row's number, from 1.
  out s_ord integer[], out s_verdict text[], out s_funding text[], out s_key uuid[], out s_day date[], out s_held bigint[],
  out s_charged bigint[], out s_spent bigint[],
  -- The checkpoints that were kept.
  out c_kept integer[],
  -- Of the admissions of locked accounts. Without verdicts: all were admitted, on their wallets, with the most tokens.
  out a_ord integer[], out a_held bigint[], out a_cost bigint[],
  out a_verdict text[], out a_funding text[], out a_tokens bigint[],
  -- As they stood when the row was decided.
  out a_available bigint[], out a_free_used integer[], out a_budget_left bigint[],
  out today date
)
language plpgsql volatile
set lock_timeout = '1s' set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_locked uuid[];
  -- By place; null where the account's lock was not had.
  v_posted bigint[];
  v_slots boolean;
  v_days date[] := p_free_days;
  v_now timestamptz;
  v_idempotent boolean[];
  v_reserved bigint[];
  v_fits boolean;
  h_ord integer[];
  h_funding text[];
  h_msat bigint[];
  h_cost bigint[];
  v_account integer;
  v_key uuid;
  v_available bigint;
  v_free_used integer;
  v_free_streams integer;
  v_budget bigint;
  v_free_day bigint;
  v_free_share bigint;
  v_free_pending bigint;
  v_least_cost bigint;
  v_verdict text;
  v_funding text;
  v_tokens bigint;
  v_held bigint;
  v_cost bigint;
  v_room bigint;
  r record;
begin
  today := (clock_timestamp() at time zone 'utc')::date;

  if p_wait then
    select array_agg(id), array_agg(posted_msat), bool_or(free_used < coalesce(free_limit, p_free_limit)) into v_locked, v_posted, v_slots
    from (select id, posted_msat, free_used, free_limit from accounts where id = any (p_accounts) order by id for no key update) l;
  else
    select array_agg(id), array_agg(posted_msat), bool_or(free_used < coalesce(free_limit, p_free_limit)) into v_locked, v_posted, v_slots
    from (select id, posted_msat, free_used, free_limit from accounts where id = any (p_accounts) order by id for no key update skip locked) l;
  end if;
  if v_locked is distinct from p_accounts then
    select
      array_agg(case when p.account = any (v_locked) then 'locked' when a.id is null then 'unknown' else 'busy' end order by p.place),
      array_agg(case when p.account = any (v_locked) then a.posted_msat end order by p.place)
    into account_state, v_posted
    from unnest(p_accounts) with ordinality p (account, place) left join accounts a on a.id = p.account;
  end if;

  -- Free days come last in the lock order and are waited for: their holder needs no further lock. Admissions need today's where a
  -- slot is free, or comes back by a void of this very batch, and one of them is cheap enough for it.
  if cardinality(a_request) > 0 and (v_slots or cardinality(p_free_days) > 0) and exists (
    select from unnest(a_base, a_least, a_per_token, a_free_max, a_fee) t (base, least, per_token, free_max, fee)
    where t.fee is null and t.base + t.least * t.per_token <= t.free_max
  ) then
    insert into free_days (day) select today where not exists (select from free_days where day = today) on conflict do nothing;
    v_days := v_days || today;
  end if;
  if cardinality(v_days) > 0 then
    perform 1 from (select 1 from free_days where day = any (v_days) order by day for no key update) l;
  end if;

  if cardinality(s_request) > 0 then
    -- Pending by `resolved_at`, which says the same as the state: by that, the planner would walk through all pending holds of the
    -- database for each row, while the table is small or its statistics are old.
    with changed as (
      update holds h set
        state = case when i.void then 'voided' else 'posted' end,
        posted_msat = case when i.void then 0 else least(i.charge, h.amount_msat) end,
        posted_pico_usd = case when i.void then 0 else least(i.cost, h.amount_pico_usd) end,
        resolved_at = clock_timestamp()
      from unnest(s_request, s_account, s_void, s_charge, s_cost) with ordinality i (request, account, void, charge, cost, ord)
      where h.request_id = i.request and h.account_id = p_accounts[i.account] and h.resolved_at is null and v_posted[i.account] is not null
      returning i.ord, i.account, h.account_id, h.request_id, h.key_id, h.funding, h.state, h.stream, h.idempotent, h.budget_day,
        h.amount_msat, h.posted_msat, h.amount_pico_usd, h.posted_pico_usd
    ), charged as (
      insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id, key_id)
      select 'charge:' || c.request_id, c.account_id, 'charge', 'wallet', 'revenue', c.posted_msat,
        v_posted[c.account] - sum(c.posted_msat) over (partition by c.account order by c.ord), c.request_id, c.key_id
      from changed c where c.posted_msat > 0 order by c.account, c.ord
    ), account_change as (
      update accounts a set
        posted_msat = a.posted_msat - d.charged, held_msat = a.held_msat - d.released,
        free_used = a.free_used - d.returned, free_streams = a.free_streams - d.streams,
        free_day = case when d.free_spent > 0 then today else a.free_day end,
        free_spent_pico_usd = case when d.free_spent = 0 then a.free_spent_pico_usd when a.free_day = today then a.free_spent_pico_usd + d.free_spent
          else d.free_spent end
      from (
        select c.account_id, sum(c.posted_msat)::bigint as charged, sum(c.amount_msat)::bigint as released,
          count(*) filter (where c.funding = 'free' and c.state = 'voided')::integer as returned,
          count(*) filter (where c.funding = 'free' and c.stream)::integer as streams,
          coalesce(sum(c.posted_pico_usd) filter (where c.funding = 'free' and c.budget_day = today), 0)::bigint as free_spent
        from changed c group by c.account_id
      ) d where a.id = d.account_id
    ), budget_change as (
      update budget_days b set reserved_pico_usd = b.reserved_pico_usd - d.released, spent_pico_usd = b.spent_pico_usd + d.spent
      from (
        select c.key_id, c.budget_day, sum(c.amount_pico_usd)::bigint as released, sum(c.posted_pico_usd)::bigint as spent
        from changed c where c.funding <> 'byok' group by c.key_id, c.budget_day
      ) d where b.key_id = d.key_id and b.day = d.budget_day
    )
    select array_agg(ord::integer), array_agg(state), array_agg(funding), array_agg(key_id), array_agg(budget_day), array_agg(amount_msat),
      array_agg(posted_msat), array_agg(posted_pico_usd), array_agg(amount_pico_usd) filter (where funding = 'free'),
      array_agg(idempotent) filter (where idempotent)
    into s_ord, s_verdict, s_funding, s_key, s_day, s_held, s_charged, s_spent, v_reserved, v_idempotent
    from changed;

    if v_reserved is not null then
      update free_days f set reserved_pico_usd = f.reserved_pico_usd - d.released, spent_pico_usd = f.spent_pico_usd + d.spent
      from (
        select h.budget_day, sum(h.amount_pico_usd)::bigint as released, sum(h.posted_pico_usd)::bigint as spent
        from unnest(s_ord) c (ord) join holds h on h.request_id = s_request[c.ord] where h.funding = 'free' group by h.budget_day
      ) d where f.day = d.budget_day;
    end if;
    if v_idempotent is not null then
      -- An answer that can be kept is kept in the charge's own transaction; a charge without one ends the key's use; a void frees it.
      with sized as (
        -- Under the caller's own provider key, those of an account that never paid anything count as free.
        select c.ord, a.id as account, f.free, octet_length(s_answer[c.ord])::bigint as bytes,
          case when f.free then p_free_answer_bytes else p_answer_bytes end as most_bytes
        from unnest(s_ord, s_verdict, s_funding) c (ord, state, funding)
        join accounts a on a.id = p_accounts[s_account[c.ord]]
        cross join lateral (select c.funding = 'free' or (c.funding = 'byok' and a.funded_at is null) as free) f
        where c.state = 'posted'
      ), placed as (
        select z.*, z.bytes <= z.most_bytes and z.most_bytes >=
          sum(z.bytes) filter (where z.bytes <= z.most_bytes) over (partition by z.account, z.free order by z.ord)
          + case when a.answer_day is distinct from today then 0 when z.free then a.free_answer_bytes else a.answer_bytes end as kept
        from sized z join accounts a on a.id = z.account
      ), stored as (
        update accounts a set answer_day = today,
          answer_bytes = case when a.answer_day = today then a.answer_bytes else 0 end + d.bytes,
          free_answer_bytes = case when a.answer_day = today then a.free_answer_bytes else 0 end + d.free_bytes
        from (
          select p.account, coalesce(sum(p.bytes) filter (where not p.free), 0)::bigint as bytes,
            coalesce(sum(p.bytes) filter (where p.free), 0)::bigint as free_bytes
          from placed p where p.kept group by p.account
        ) d where a.id = d.account
      )
      update idempotency i set state = case when p.kept then 'done' else 'interrupted' end, answer = case when p.kept then s_answer[p.ord] end
      from placed p where i.request_id = s_request[p.ord];
      delete from idempotency i using unnest(s_ord, s_verdict) c (ord, state) where c.state = 'voided' and i.request_id = s_request[c.ord];
    end if;
    if s_ord is null or cardinality(s_ord) < cardinality(s_request) then
      -- A hold that was resolved before comes back with what it was resolved to.
      for r in
        select i.ord::integer, coalesce('already_' || h.state, 'unknown_hold') as verdict, h.*
        from unnest(s_request, s_account) with ordinality i (request, account, ord)
        left join holds h on h.request_id = i.request and h.account_id = p_accounts[i.account]
        where v_posted[i.account] is not null and (s_ord is null or i.ord <> all (s_ord))
      loop
        s_ord := s_ord || r.ord; s_verdict := s_verdict || r.verdict; s_funding := s_funding || r.funding; s_key := s_key || r.key_id;
        s_day := s_day || r.budget_day; s_held := s_held || r.amount_msat; s_charged := s_charged || r.posted_msat;
        s_spent := s_spent || r.posted_pico_usd;
      end loop;
    end if;
  end if;

  if cardinality(c_request) > 0 then
    with changed as (
      update holds h set
        checkpoint_msat = greatest(coalesce(h.checkpoint_msat, 0), least(t.charge, h.amount_msat)),
        checkpoint_pico_usd = greatest(coalesce(h.checkpoint_pico_usd, 0), least(t.cost, h.amount_pico_usd)),
        lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
      from unnest(c_request, c_account, c_charge, c_cost) with ordinality t (request, account, charge, cost, ord)
      where h.request_id = t.request and h.account_id = p_accounts[t.account] and v_posted[t.account] is not null and h.resolved_at is null
        and h.lease_until > clock_timestamp()
      returning t.ord
    )
    select array_agg(ord::integer) into c_kept from changed;
  end if;

  if cardinality(a_request) > 0 then
    v_now := clock_timestamp();
    -- Most batches are of accounts that pay and can pay for all that they ask at most: then no order matters and nothing is refused.
    with asked as materialized (
      select t.ord, t.account, t.key, t.key_version, t.base + t.most * t.per_token as cost,
        (t.base + t.most * t.per_token + t.rate - 1) / t.rate as held
      from unnest(a_account, a_key, a_key_version, a_base, a_per_token, a_most, a_rate) with ordinality
        t (account, key, key_version, base, per_token, most, rate, ord)
      where v_posted[t.account] is not null
    )
    select array_agg(ord::integer), array_agg(held), array_agg(cost), cardinality(a_idempotency_key) = 0 and cardinality(a_fee) = 0 and (
      select bool_and(fits) from (
        select a.free_used >= coalesce(a.free_limit, p_free_limit)
          and k.id is not null and k.revoked_at is null and coalesce(k.expires_at > v_now, true)
          and k.version = g.oldest_version and k.version = g.newest_version
          and g.cost <= k.daily_budget_pico_usd - coalesce(b.reserved_pico_usd + b.spent_pico_usd, 0)
          and sum(g.held) over (partition by g.account) <= a.posted_msat - a.held_msat as fits
        from (
          select account, key, min(key_version) as oldest_version, max(key_version) as newest_version, sum(cost) as cost, sum(held) as held
          from asked group by account, key
        ) g
        join accounts a on a.id = p_accounts[g.account]
        left join api_keys k on k.id = g.key and k.account_id = a.id
        left join budget_days b on b.key_id = g.key and b.day = today
      ) f
    )
    into h_ord, h_msat, h_cost, v_fits
    from asked;

    if v_fits then
      a_ord := h_ord; a_held := h_msat; a_cost := h_cost;
    else
      h_ord := '{}'; h_msat := '{}'; h_cost := '{}'; h_funding := '{}';
      a_ord := '{}'; a_held := '{}'; a_cost := '{}'; a_verdict := '{}'; a_funding := '{}'; a_tokens := '{}';
      a_available := '{}'; a_free_used := '{}'; a_budget_left := '{}';
      select p_free_day_limit - reserved_pico_usd - spent_pico_usd into v_free_day from free_days where day = today;
      v_free_day := coalesce(v_free_day, p_free_day_limit);
      -- One after the other, against what those before have left.
      for r in
        select t.*, a.posted_msat - a.held_msat as available, a.free_used, coalesce(a.free_limit, p_free_limit) as free_limit, a.free_streams,
          case when a.free_day = today then a.free_spent_pico_usd else 0 end as free_spent,
          k.id is not null and k.revoked_at is null and coalesce(k.expires_at > v_now, true) as alive,
          k.version, k.daily_budget_pico_usd - coalesce(b.reserved_pico_usd + b.spent_pico_usd, 0) as budget_left
        from unnest(a_request, a_account, a_key, a_key_version, a_base, a_per_token, a_least, a_most, a_free_max, a_rate, a_stream,
          a_path, a_idempotency_key, a_body_sha256, a_fee) with ordinality
          t (request, account, key, key_version, base, per_token, least_tokens, most_tokens, free_max, rate, stream, path, idempotency_key, body_sha256,
            fee, ord)
        join accounts a on a.id = p_accounts[t.account]
        left join api_keys k on k.id = t.key and k.account_id = a.id
        left join budget_days b on b.key_id = t.key and b.day = today
        where v_posted[t.account] is not null
        order by t.account, t.key, t.ord
      loop
        if v_account is distinct from r.account then
          v_account := r.account; v_available := r.available; v_free_used := r.free_used; v_free_streams := r.free_streams;
          v_free_pending := 0; v_free_share := 0;
          if v_free_used < r.free_limit then
            -- What is under way is counted, no more than may be at once: the index has nothing else.
            select count(*), p_free_share - r.free_spent - coalesce(sum(h.amount_pico_usd) filter (where h.budget_day = today), 0)
            into v_free_pending, v_free_share
            from holds h where h.account_id = p_accounts[r.account] and h.funding = 'free' and h.resolved_at is null;
          end if;
        end if;
        if v_key is distinct from r.key then
          v_key := r.key; v_budget := r.budget_left;
        end if;
        v_verdict := null; v_funding := null; v_tokens := null; v_held := 0;
        v_least_cost := r.base + r.least_tokens * r.per_token;
        v_cost := v_least_cost;

        if not r.alive then
          v_verdict := 'key_gone';
        elsif r.version <> r.key_version then
          v_verdict := 'key_changed';
        elsif r.fee is not null then
          -- The provider bills the caller: neither the budget nor a free slot has to do with it, and the wallet pays the fee alone.
          v_held := r.fee;
          if v_held <= v_available then
            v_funding := 'byok';
          else
            v_verdict := 'fee';
          end if;
        elsif v_least_cost > v_budget then
          v_verdict := 'budget';
        else
          v_verdict := case
            when v_free_used >= r.free_limit then 'used_up'
            when v_least_cost > r.free_max then 'too_costly'
            when v_least_cost > v_free_day or v_least_cost > v_free_share then 'daily_ceiling'
            when r.stream and v_free_streams >= p_free_streams then 'free_streams'
            when v_free_pending >= p_free_at_once then 'free_requests'
          end;
          if v_verdict is null then
            v_funding := 'free';
            v_room := least(r.free_max, v_free_day, v_free_share, v_budget);
          else
            v_held := (v_least_cost + r.rate - 1) / r.rate;
            if v_held <= v_available then
              v_funding := 'wallet';
              -- The balance is bounded before it is multiplied: past 9e18 pico-USD no request is short of it.
              v_room := least(v_budget, least(v_available, 9000000000000000000 / r.rate) * r.rate);
            end if;
          end if;
        end if;

        if v_funding is not null and r.idempotency_key is not null then
          insert into idempotency as i (account_id, path, key, body_sha256, request_id, expires_at)
          values (p_accounts[r.account], r.path, r.idempotency_key, r.body_sha256, r.request, v_now + interval '24 hours')
          on conflict (account_id, path, key) do update
            set body_sha256 = excluded.body_sha256, request_id = excluded.request_id, expires_at = excluded.expires_at, state = 'running', answer = null
            where i.expires_at < v_now and i.state <> 'running';
          if not found then
            v_funding := null;
            v_verdict := 'idempotency';
          end if;
        end if;

        if v_funding is not null then
          v_verdict := 'admitted';
          v_tokens := case when r.per_token = 0 or v_funding = 'byok' then r.most_tokens else least(r.most_tokens, (v_room - r.base) / r.per_token) end;
          v_cost := r.base + v_tokens * r.per_token;
          v_held := case v_funding when 'wallet' then (v_cost + r.rate - 1) / r.rate when 'byok' then r.fee else 0 end;
          v_budget := v_budget - case when v_funding = 'byok' then 0 else v_cost end;
          v_available := v_available - v_held;
          if v_funding = 'free' then
            v_free_used := v_free_used + 1;
            v_free_day := v_free_day - v_cost;
            v_free_share := v_free_share - v_cost;
            v_free_pending := v_free_pending + 1;
            if r.stream then v_free_streams := v_free_streams + 1; end if;
          end if;
          h_ord := h_ord || r.ord::integer; h_funding := h_funding || v_funding; h_msat := h_msat || v_held; h_cost := h_cost || v_cost;
        end if;
        a_ord := a_ord || r.ord::integer; a_verdict := a_verdict || v_verdict; a_funding := a_funding || v_funding;
        a_tokens := a_tokens || v_tokens; a_held := a_held || v_held; a_cost := a_cost || v_cost;
        a_available := a_available || v_available; a_free_used := a_free_used || v_free_used; a_budget_left := a_budget_left || v_budget;
      end loop;
    end if;

    if cardinality(h_ord) > 0 then
      with added as (
        insert into holds (request_id, account_id, key_id, funding, amount_msat, amount_pico_usd, budget_day, pico_usd_per_msat, price_version,
          stream, idempotent, instance_id, lease_until)
        select a_request[h.ord], p_accounts[a_account[h.ord]], a_key[h.ord], coalesce(h.funding, 'wallet'), h.held, h.cost, today,
          a_rate[h.ord], a_price_version[h.ord], a_stream[h.ord], a_idempotency_key[h.ord] is not null, p_instance,
          v_now + make_interval(secs => p_lease_seconds)
        from unnest(h_ord, h_funding, h_msat, h_cost) h (ord, funding, held, cost)
        returning account_id, key_id, funding, amount_msat, amount_pico_usd, stream
      ), account_change as (
        update accounts a set held_msat = a.held_msat + d.held, free_used = a.free_used + d.free, free_streams = a.free_streams + d.streams
        from (
          select n.account_id, sum(n.amount_msat)::bigint as held, count(*) filter (where n.funding = 'free')::integer as free,
            count(*) filter (where n.funding = 'free' and n.stream)::integer as streams
          from added n group by n.account_id
        ) d where a.id = d.account_id
      )
      insert into budget_days as b (key_id, day, account_id, reserved_pico_usd)
      select n.key_id, today, n.account_id, sum(n.amount_pico_usd)::bigint from added n where n.funding <> 'byok' group by n.key_id, n.account_id
      on conflict (key_id, day) do update set reserved_pico_usd = b.reserved_pico_usd + excluded.reserved_pico_usd;
      if not v_fits then
        update free_days f set reserved_pico_usd = f.reserved_pico_usd + d.reserved
        from (select sum(h.cost)::bigint as reserved from unnest(h_funding, h_cost) h (funding, cost) where h.funding = 'free') d
        where f.day = today and d.reserved > 0;
      end if;
    end if;
  end if;

  select x.available, x.free_used, x.free_limit, x.funded, y.key, y.day, y.budget_left
  into available, free_used, free_limit, funded, budget_key, budget_day, budget_left
  from (
    select array_agg(a.posted_msat - a.held_msat) as available, array_agg(a.free_used) as free_used,
      array_agg(coalesce(a.free_limit, p_free_limit)) as free_limit, array_agg(a.funded_at is not null) as funded
    from (select * from accounts where id = any (v_locked) order by id) a
  ) x, (
    select array_agg(g.key) as key, array_agg(g.day) as day,
      array_agg(k.daily_budget_pico_usd - coalesce(b.reserved_pico_usd + b.spent_pico_usd, 0)) as budget_left
    from (select t.key, t.day from unnest(s_key, s_day) t (key, day) union select t.key, today from unnest(a_key) t (key)) g
    join api_keys k on k.id = g.key
    left join budget_days b on b.key_id = g.key and b.day = g.day
  ) y;
end $$;
