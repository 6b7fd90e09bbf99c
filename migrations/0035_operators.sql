-- Operators at work: who is signed in, what they did and why, which accounts they have frozen, how the audits went, and the sums of the
-- ledger's days.

-- A frozen account keeps its balance and gets its deposits; nothing is done by it. Its keys have a version below 0 (-1 - what they had):
-- an admission with what was known of a key before is refused for its other version, and no gateway admits one below 0. Both change in one
-- transaction, under the account's lock.
alter table accounts add column frozen_at timestamptz;

create table admin_sessions (
  token_sha256 bytea primary key,
  name text not null,
  -- Of the operator's token, under the session's own: a session dies with the token that it was begun with, and nobody who reads this row
  -- can try tokens on it.
  proof bytea not null,
  -- The sender's network, not the address: /24, or /48.
  network text not null,
  created_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp()
);

-- Whatever operators do, written in the transaction that does it. The id is the form's: a form that is sent twice acts once.
create table admin_acts (
  id uuid primary key,
  seq bigint generated always as identity unique,
  at timestamptz not null default clock_timestamp(),
  admin text not null,
  network text not null,
  act text not null,
  subject_kind text not null,
  subject text not null,
  reason text not null check (char_length(reason) between 3 and 500),
  details jsonb not null default '{}' check (jsonb_typeof(details) = 'object')
);
create index admin_acts_subject on admin_acts (subject_kind, subject, seq desc);
create trigger admin_acts_append_only before update or delete on admin_acts for each row execute function refuse_change();
create trigger admin_acts_never_truncated before truncate on admin_acts for each statement execute function refuse_change();

-- How audits of the ledger went, whoever ran them.
create table audits (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  took_ms integer not null check (took_ms >= 0),
  -- Whether it read the whole history, or what had come since the last sound one.
  whole boolean not null,
  ran_by text not null,
  violations integer not null check (violations >= 0),
  -- The first ones of each rule: a list of {invariant, rule, subject, expected, found}.
  examples jsonb not null default '[]' check (jsonb_typeof(examples) = 'array')
);
create index audits_at on audits (at desc);

-- What the transfers of a UTC day came to, into the wallets less out of them. They follow from `transfers` and decide nothing: a job adds
-- them up to `ledger_days_to`, and who asks takes the rest from the transfers themselves.
create table ledger_days (
  day date not null,
  kind text not null,
  msat bigint not null,
  transfers bigint not null,
  -- Of charges and refunds: the cost of record of what the wallets paid for, markup included.
  cost_pico_usd numeric not null default 0,
  primary key (day, kind)
);
create table ledger_days_to (
  only_row boolean primary key default true check (only_row),
  transfer_id bigint not null
);
insert into ledger_days_to (transfer_id) values (0);

-- What an operator adds is money of the network of the balances, as a deposit is (0020).
create function require_network(p_network text) returns void language plpgsql as $$
declare
  v_network text;
begin
  insert into ledger_network (network) values (p_network) on conflict do nothing;
  select network into v_network from ledger_network for share;
  if v_network <> p_network then
    raise exception 'the balances are of %, not of %', v_network, p_network using errcode = 'PN001';
  end if;
end $$;
