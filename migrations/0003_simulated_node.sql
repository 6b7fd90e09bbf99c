-- The simulated Lightning node's own books: what a real node would keep in its database. Gateways on one database share one node.
create sequence simulated_settle_index;

create table simulated_invoices (
  payment_hash bytea primary key,
  preimage bytea not null,
  bolt11 text not null unique,
  amount_msat bigint not null check (amount_msat > 0),
  state text not null default 'open' check (state in ('open', 'settled', 'canceled')),
  received_msat bigint check (received_msat >= amount_msat),
  settle_index bigint unique,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  settled_at timestamptz,
  check ((state = 'settled') = (received_msat is not null)),
  check ((state = 'settled') = (settle_index is not null)),
  check ((state = 'settled') = (settled_at is not null))
);
