-- The ledger and everything that hangs on it. Money is bigint: msat, or pico-USD (1e-12). Times are timestamptz.
-- The account row is the lock: whoever changes an account's holds, transfers or budget days holds it first.

create type ledger_account as enum ('wallet', 'lightning_receivable', 'revenue', 'write_off');

create table accounts (
  id uuid primary key,
  posted_msat bigint not null default 0,
  held_msat bigint not null default 0 check (held_msat >= 0),
  free_used integer not null default 0 check (free_used >= 0),
  free_streams integer not null default 0 check (free_streams >= 0),
  -- null: as many as the operator gives everybody; 0 for accounts born of a payment.
  free_limit integer check (free_limit >= 0),
  funded_at timestamptz,
  -- Stored answers are encrypted under a key derived from this, so that one account's cannot be read with another's.
  answer_salt bytea not null,
  created_at timestamptz not null default now(),
  check (posted_msat - held_msat >= 0)
) with (fillfactor = 50);

create table api_keys (
  id uuid primary key,
  account_id uuid not null references accounts (id),
  secret_hash bytea not null unique,
  -- Which root secret made the hash.
  secret_id text not null,
  prefix text not null,
  label text,
  role text not null check (role in ('owner', 'inference')),
  daily_budget_pico_usd bigint not null check (daily_budget_pico_usd >= 0),
  rate_limit_rpm integer check (rate_limit_rpm > 0),
  rate_limit_tpm integer check (rate_limit_tpm > 0),
  allowed_models text[],
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  created_at timestamptz not null default now(),
  -- Counts changes: a cached copy of another version is refused at admission.
  version integer not null default 1
);
create index api_keys_account on api_keys (account_id, created_at);

create table transfers (
  id bigint generated always as identity primary key,
  idempotency_key text not null unique,
  account_id uuid not null,
  kind text not null check (kind in ('deposit', 'charge', 'refund', 'withdrawal', 'adjustment')),
  debit ledger_account not null,
  credit ledger_account not null,
  amount_msat bigint not null check (amount_msat > 0),
  balance_after_msat bigint not null check (balance_after_msat >= 0),
  request_id uuid,
  invoice_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  check ((debit = 'wallet') <> (credit = 'wallet')),
  check (kind <> 'deposit' or (debit = 'lightning_receivable' and invoice_id is not null)),
  check (kind <> 'charge' or (credit = 'revenue' and request_id is not null))
);
create index transfers_account on transfers (account_id, id desc);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'integrity_constraint_violation';
end $$;
create trigger transfers_append_only before update or delete on transfers for each row execute function refuse_change();
create trigger transfers_never_truncated before truncate on transfers for each statement execute function refuse_change();
create trigger accounts_kept before delete on accounts for each row execute function refuse_change();

create table holds (
  request_id uuid primary key,
  account_id uuid not null,
  key_id uuid not null,
  funding text not null check (funding in ('free', 'wallet', 'byok')),
  state text not null default 'pending' check (state in ('pending', 'posted', 'voided')),
  -- Reserved in the wallet, and what of it was charged in the end.
  amount_msat bigint not null check (amount_msat >= 0),
  posted_msat bigint not null default 0,
  -- Reserved of the key's budget (and the free day), and what of it was spent in the end.
  amount_pico_usd bigint not null check (amount_pico_usd >= 0),
  posted_pico_usd bigint not null default 0,
  checkpoint_msat bigint,
  checkpoint_pico_usd bigint,
  budget_day date not null,
  pico_usd_per_msat bigint not null check (pico_usd_per_msat > 0),
  price_version integer not null,
  stream boolean not null,
  idempotent boolean not null,
  instance_id uuid not null,
  lease_until timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  resolved_at timestamptz,
  check (posted_msat between 0 and amount_msat),
  check (posted_pico_usd between 0 and amount_pico_usd),
  check (checkpoint_msat between 0 and amount_msat),
  check (checkpoint_pico_usd between 0 and amount_pico_usd),
  check (funding = 'wallet' or amount_msat = 0 or funding = 'byok'),
  check (state = 'posted' or (posted_msat = 0 and posted_pico_usd = 0)),
  check ((state = 'pending') = (resolved_at is null))
) with (fillfactor = 70);
create index holds_pending on holds (lease_until) where state = 'pending';
create index holds_account on holds (account_id, resolved_at) where state = 'posted';

create table budget_days (
  key_id uuid not null,
  day date not null,
  account_id uuid not null,
  reserved_pico_usd bigint not null default 0 check (reserved_pico_usd >= 0),
  spent_pico_usd bigint not null default 0 check (spent_pico_usd >= 0),
  primary key (key_id, day)
) with (fillfactor = 50);

create table free_days (
  day date primary key,
  reserved_pico_usd bigint not null default 0 check (reserved_pico_usd >= 0),
  spent_pico_usd bigint not null default 0 check (spent_pico_usd >= 0)
) with (fillfactor = 10);

create table idempotency (
  account_id uuid not null,
  path text not null,
  key text not null,
  body_sha256 bytea not null,
  request_id uuid not null,
  state text not null default 'running' check (state in ('running', 'done', 'interrupted')),
  answer bytea,
  expires_at timestamptz not null,
  primary key (account_id, path, key),
  check ((state = 'done') = (answer is not null))
);
create unique index idempotency_request on idempotency (request_id);
create index idempotency_expiry on idempotency (expires_at);

create table invoices (
  id uuid primary key,
  account_id uuid not null references accounts (id),
  backend text not null,
  node_id text not null,
  network text not null,
  payment_hash bytea unique,
  bolt11 text,
  amount_sat integer not null check (amount_sat > 0),
  state text not null default 'creating' check (state in ('creating', 'open', 'paid', 'expired', 'canceled', 'failed')),
  received_msat bigint check (received_msat > 0),
  transfer_id bigint unique references transfers (id),
  -- The account's one invoice that every 402 offers again.
  reusable boolean not null default false,
  idempotency_key text,
  idempotency_sha256 bytea,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  paid_at timestamptz,
  credited_at timestamptz,
  checks integer not null default 0,
  -- When the node is asked again; null once its word is final.
  next_check_at timestamptz,
  unique (account_id, idempotency_key),
  check ((state = 'paid') = (transfer_id is not null)),
  check ((state = 'paid') = (received_msat is not null)),
  check (state in ('creating', 'failed') or (payment_hash is not null and bolt11 is not null))
);
create unique index invoices_reusable on invoices (account_id) where reusable and state in ('creating', 'open');
create index invoices_account on invoices (account_id, created_at desc);
create index invoices_due on invoices (next_check_at) where next_check_at is not null;

create table price_versions (
  version integer generated always as identity primary key,
  sha256 bytea not null unique,
  prices jsonb not null,
  created_at timestamptz not null default now()
);

-- One row a request, written after the money: what it was, never what was said. Reports join it to the holds.
create table requests (
  id uuid primary key,
  account_id uuid not null,
  key_id uuid not null,
  created_at timestamptz not null default clock_timestamp(),
  path text not null,
  requested_model text,
  model text,
  provider text,
  tier text,
  stream boolean not null,
  outcome text not null,
  status integer not null,
  error_code text,
  funding text,
  prompt_tokens bigint not null default 0,
  completion_tokens bigint not null default 0,
  cached_tokens bigint not null default 0,
  reasoning_tokens bigint not null default 0,
  cost_pico_usd bigint not null default 0,
  cost_msat bigint not null default 0,
  charged_msat bigint not null default 0,
  pico_usd_per_msat bigint,
  price_version integer,
  latency_ms double precision,
  ttft_ms double precision,
  explored boolean not null default false,
  upstream_request_id text,
  client_request_id text
);
create index requests_account on requests (account_id, created_at desc, id desc);
