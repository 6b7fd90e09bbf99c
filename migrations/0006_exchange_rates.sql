-- The last exchange rate that the public price sources agreed on, shared by the gateways of a database and kept over restarts.
create table exchange_rates (
  pair text primary key,
  pico_usd_per_msat bigint not null check (pico_usd_per_msat > 0),
  -- Whose prices it was made of.
  sources text[] not null,
  fetched_at timestamptz not null default clock_timestamp()
);
