-- The times at which all balances were booked away, because their deposits came from another network than the next ones will.
create table write_offs (
  id bigint generated always as identity primary key,
  network text not null,
  written_off_msat bigint not null check (written_off_msat >= 0),
  created_at timestamptz not null default clock_timestamp()
);

-- Which network the balances are of: asked at every start.
create index invoices_credited on invoices (credited_at) where state = 'paid';
