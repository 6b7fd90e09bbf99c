-- People at the console: the wallets that may sign in for an account, and who is signed in.

create table linked_wallets (
  id uuid primary key,
  account_id uuid not null references accounts (id),
  -- LUD-04: a compressed public key of secp256k1. It is the wallet's for this host alone.
  linking_key bytea not null check (octet_length(linking_key) = 33),
  host text not null,
  name text,
  linked_at timestamptz not null default clock_timestamp(),
  last_used_at timestamptz,
  unlinked_at timestamptz
);
-- A signature names one account.
create unique index linked_wallets_key on linked_wallets (linking_key) where unlinked_at is null;
create index linked_wallets_account on linked_wallets (account_id, linked_at);

-- A session is known by the hash of its token, and ends with the key or the wallet that it was begun with.
create table sessions (
  token_sha256 bytea primary key,
  account_id uuid not null references accounts (id),
  key_id uuid references api_keys (id),
  -- Of the secret that signed in: a session does not outlive a rotation.
  key_prefix text,
  wallet_id uuid references linked_wallets (id),
  -- The sender's network, not the address: /24, or /48.
  network text not null,
  created_at timestamptz not null default clock_timestamp(),
  -- When the key or the wallet was shown last: money goes out only a short while after.
  confirmed_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  check ((key_id is null) = (key_prefix is null)),
  check ((key_id is null) <> (wallet_id is null))
);
create index sessions_account on sessions (account_id, created_at desc);
create index sessions_created on sessions (created_at);
