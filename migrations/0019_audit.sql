-- What an auditor needs to work a request's cost out again: null in rows of before.
alter table requests add column cache_write_tokens bigint;
alter table requests add column markup_basis_points integer;
-- The name in its version of the prices; a dated model is priced by its family's.
alter table requests add column priced_as text;

-- The lowest and the highest exchange rate that any gateway had on a UTC day: the rate of a hold lies between them.
create table exchange_rate_days (
  day date primary key,
  least_pico_usd_per_msat bigint not null check (least_pico_usd_per_msat > 0),
  most_pico_usd_per_msat bigint not null check (most_pico_usd_per_msat >= least_pico_usd_per_msat)
);

-- How far the ledger was last found sound. The transfers up to there are never changed, so their number and sum may not either.
create table sound_audits (
  only_row boolean primary key default true check (only_row),
  transfer_id bigint not null,
  transfers bigint not null,
  amount_msat numeric not null,
  -- Of the last run, and of the last that read the whole history. Times are of their beginning.
  sound_at timestamptz not null,
  whole_at timestamptz not null
);
-- Finds the holds since the last audit at hardly any cost to those who add them: they come in the order of their time.
create index holds_created on holds using brin (created_at) with (pages_per_range = 32, autosummarize = on);
