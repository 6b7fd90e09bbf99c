-- Codes that a phone's wallet scans to take a balance out (LUD-03). Who knows one gets the money, so that only its hash is kept, and an account
-- has one at most that is still good.
create table withdraw_codes (
  k1_sha256 bytea primary key check (octet_length(k1_sha256) = 32),
  account_id uuid not null references accounts (id),
  -- Who made it: a key, or a linked wallet under the prefix that stands for one. The code dies with it.
  key_id uuid not null,
  key_prefix text not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  -- Set in the transaction that holds the money; a code is used once.
  withdrawal_id uuid unique references withdrawals (id)
);
create unique index withdraw_codes_good on withdraw_codes (account_id) where withdrawal_id is null;
create index withdraw_codes_account on withdraw_codes (account_id, created_at desc);
