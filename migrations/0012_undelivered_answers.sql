-- A charge whose answer never left its gateway is given back whole: the money, the day's budget, the free slot, the free day, and the
-- Idempotency-Key with the answer that was stored under it. The hold keeps its figures, in a state of its own that no report counts
-- (`ledger_refund` of 0013).
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
