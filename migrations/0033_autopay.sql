-- Top-ups by an owner's own wallet: where the available balance falls under the threshold, the gateway asks that wallet to pay an invoice.
create table autopay (
  account_id uuid primary key references accounts (id),
  -- The connection, encrypted; the first byte names the secret of SECRET_KEY.
  connection bytea not null,
  -- What of the wallet may be shown, as it said itself when it was last asked.
  wallet_name text,
  wallet_node text,
  relay_hosts text[] not null check (cardinality(relay_hosts) between 1 and 4),
  threshold_sat integer not null check (threshold_sat between 1 and 1000000),
  topup_sat integer not null check (topup_sat between 100 and 1000000),
  daily_limit_sat integer not null check (daily_limit_sat between topup_sat and 100000000),
  -- `paused` by the owner or by failures, `stopped` for a connection that is of no use any more; `reason` says why.
  state text not null default 'on' check (state in ('on', 'paused', 'stopped')),
  reason text,
  -- Since the last one that was paid, or since the owner set it going.
  failures integer not null default 0 check (failures >= 0),
  not_before timestamptz not null default clock_timestamp(),
  -- What came of an attempt from before says nothing about this connection.
  stored_at timestamptz not null default clock_timestamp()
);

-- An attempt is an invoice of its own, which is for that wallet alone. It counts from its beginning until the invoice is final at our node,
-- and from then on where that was paid.
create table autopay_attempts (
  invoice_id uuid primary key references invoices (id),
  account_id uuid not null references accounts (id),
  amount_sat integer not null check (amount_sat > 0),
  -- UTC.
  day date not null default (clock_timestamp() at time zone 'utc')::date,
  started_at timestamptz not null default clock_timestamp(),
  -- Before this, nobody has the invoice.
  asked_at timestamptz,
  -- The wallet's word, which decides nothing about the money; and when it may be asked again, where it said that.
  answer text,
  retry_at timestamptz,
  ended_at timestamptz
);
create unique index autopay_one_attempt on autopay_attempts (account_id) where ended_at is null;
create index autopay_attempts_account on autopay_attempts (account_id, started_at desc);

-- Never offered to anybody else, and not one of those that an account may have open.
alter table invoices add column autopay boolean not null default false;
