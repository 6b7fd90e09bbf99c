-- The names of Lightning Addresses, all that there ever were: one that was given up stays its account's, so that no payment to it goes astray.
create table lightning_handles (
  handle text primary key check (handle ~ '^[a-z0-9][a-z0-9._-]{1,30}[a-z0-9]$'),
  account_id uuid not null references accounts (id),
  given_at timestamptz not null default clock_timestamp(),
  -- Null for the one that the account goes by now.
  retired_at timestamptz
);
create unique index lightning_handles_current on lightning_handles (account_id) where retired_at is null;
create index lightning_handles_account on lightning_handles (account_id);

-- Invoices that a payer's wallet asked for at an account's address: for which handle, what the wallet was shown (its SHA-256 is in the invoice),
-- and what the payer wrote. Null for all others.
alter table invoices add column handle text references lightning_handles (handle);
alter table invoices add column address_metadata text;
alter table invoices add column payer_comment text;
alter table invoices add constraint invoices_address check (
  (handle is null) = (address_metadata is null)
  and (handle is null or (account_id is not null and not reusable and idempotency_key is null))
  and (payer_comment is null or (handle is not null and char_length(payer_comment) between 1 and 140))
) not valid;
create index invoices_address_open on invoices (handle, expires_at) where handle is not null and state in ('creating', 'open');

-- What the simulated node was told of an invoice whose text has no more than a hash.
alter table simulated_invoices add column description text;
