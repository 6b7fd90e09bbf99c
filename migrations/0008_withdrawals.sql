-- What accounts take out of their wallets over Lightning. A row that is not final is a hold by itself: its amount and fee limit are part
-- of accounts.held_msat, and no sweeper ends it, for only the node's own word does. As with all money, the account's row is locked first.
create table withdrawals (
  id uuid primary key,
  account_id uuid not null references accounts (id),
  -- Who asked for it.
  key_id uuid not null,
  backend text not null,
  -- The node that pays: another one's word on it means nothing.
  node_id text not null,
  network text not null,
  -- One invoice is paid once, whoever asks for it and however often.
  payment_hash bytea not null unique,
  bolt11 text not null,
  amount_msat bigint not null check (amount_msat > 0),
  fee_limit_msat bigint not null check (fee_limit_msat >= 0),
  -- What routing cost in the end.
  fee_msat bigint check (fee_msat between 0 and fee_limit_msat),
  -- creating: held, and the node was not asked yet; sent: it may have been, and is the only one to know what became of it.
  state text not null default 'creating' check (state in ('creating', 'sent', 'paid', 'failed')),
  failure text,
  transfer_id bigint unique references transfers (id),
  idempotency_key text,
  idempotency_sha256 bytea not null,
  -- The invoice's own.
  expires_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  sent_at timestamptz,
  -- Until when the node looks for a route.
  deadline_at timestamptz,
  resolved_at timestamptz,
  checks integer not null default 0,
  -- How often in a row the node said, long after the deadline, that it knows no such payment.
  not_found integer not null default 0,
  -- When it is sent, or the node is asked again; null once it is final.
  next_check_at timestamptz,
  unique (account_id, idempotency_key),
  check ((state = 'paid') = (transfer_id is not null)),
  check ((state = 'paid') = (fee_msat is not null)),
  check ((state in ('paid', 'failed')) = (resolved_at is not null)),
  check ((state in ('creating', 'sent')) = (next_check_at is not null)),
  check (state not in ('sent', 'paid') or (sent_at is not null and deadline_at is not null))
);
create index withdrawals_pending on withdrawals (account_id) where state in ('creating', 'sent');
create index withdrawals_due on withdrawals (next_check_at) where next_check_at is not null;

-- The simulated node's payments to others, which no network carries: they succeed at once, or fail for want of a fee.
create table simulated_payments (
  payment_hash bytea primary key,
  bolt11 text not null,
  fee_msat bigint check (fee_msat >= 0),
  state text not null check (state in ('succeeded', 'failed')),
  created_at timestamptz not null default clock_timestamp(),
  check ((state = 'succeeded') = (fee_msat is not null))
);
