-- A charge whose answer never left its gateway is given back whole: the money, the day's budget, the free slot, the free day, and the
-- Idempotency-Key with the answer that was stored under it. The hold keeps its figures, in a state of its own that no report counts.
-- Not validated: what is there satisfied the narrower ones, and a long table is not read under its lock.
alter table holds drop constraint holds_state_check;
alter table holds add constraint holds_state_check check (state in ('pending', 'posted', 'voided', 'refunded')) not valid;
do $$
declare
  v_name text;
begin
  -- The one that no name was given to: only a posted hold has figures.
  select conname into strict v_name from pg_constraint
  where conrelid = 'holds'::regclass and contype = 'c' and pg_get_constraintdef(oid) like '%state = ''posted''%posted_msat = 0%';
  execute format('alter table holds drop constraint %I', v_name);
end $$;
alter table holds add constraint holds_figures check (state in ('posted', 'refunded') or (posted_msat = 0 and posted_pico_usd = 0)) not valid;

-- Refunds of before gave back the money alone.
with refunded as (
  update holds h set state = 'refunded' from transfers t
  where t.kind = 'refund' and t.request_id = h.request_id and t.account_id = h.account_id and h.state = 'posted'
  returning h.key_id, h.budget_day, h.posted_pico_usd
)
update budget_days b set spent_pico_usd = b.spent_pico_usd - d.spent
from (select key_id, budget_day, sum(posted_pico_usd)::bigint as spent from refunded group by key_id, budget_day) d
where b.key_id = d.key_id and b.day = d.budget_day;

-- Whether a repeat was given the stored answer: then it was delivered, and its charge stays.
alter table idempotency add column replayed boolean not null default false;

-- The gateways that serve on this database. What one of them posted after `confirmed_at`, and did not put on record, may never have
-- left it: once its beats stop, another gives that back.
create table instances (
  id uuid primary key,
  beat_at timestamptz not null,
  confirmed_at timestamptz not null
) with (fillfactor = 50);
-- Finds the holds of a few seconds in a history of any length, and costs a request nothing.
create index holds_resolved on holds using brin (resolved_at) with (pages_per_range = 32, autosummarize = on) where state = 'posted';

-- Gives a posted hold back. Resolves it once, however many call: true for the one that did it. False also where a repeat has the answer.
create function ledger_refund(p_account uuid, p_request uuid) returns boolean language plpgsql volatile set lock_timeout = '2s' as $$
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
  -- The amount is the charge's own, so that no refund gives back more than was taken. A gateway of the version before may have done it.
  insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id)
  select 'refund:' || p_request, p_account, 'refund', 'revenue', 'wallet', t.amount_msat, a.posted_msat + t.amount_msat, p_request
  from transfers t join accounts a on a.id = t.account_id
  where t.idempotency_key = 'charge:' || p_request and t.account_id = p_account
  on conflict (idempotency_key) do nothing
  returning amount_msat into v_refunded;
  update accounts set posted_msat = posted_msat + coalesce(v_refunded, 0), free_used = free_used - (v_hold.funding = 'free')::integer
  where id = p_account;
  if v_hold.funding <> 'byok' then
    update budget_days set spent_pico_usd = spent_pico_usd - v_hold.posted_pico_usd where key_id = v_hold.key_id and day = v_hold.budget_day;
  end if;
  if v_hold.funding = 'free' then
    update free_days set spent_pico_usd = spent_pico_usd - v_hold.posted_pico_usd where day = v_hold.budget_day;
  end if;
  return true;
end $$;
