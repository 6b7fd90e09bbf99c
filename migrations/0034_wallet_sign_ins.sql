-- Codes that a browser shows and a linked wallet signs (LUD-04). A row outlives its code: for a week it tells the account's owner of the
-- sign-in.
create table wallet_sign_ins (
  -- Of the 32 bytes that are signed.
  k1_sha256 bytea primary key,
  action text not null check (action in ('login', 'link', 'auth')),
  -- Of the cookie of the browser that shows the code: no other one gets what the signature gives.
  browser_sha256 bytea not null,
  -- The session that asks for the signature; none for a login.
  session_sha256 bytea,
  -- The account that was signed in to, linked or confirmed for.
  account_id uuid references accounts (id),
  network text not null,
  linking_key bytea check (octet_length(linking_key) = 33),
  created_at timestamptz not null default clock_timestamp(),
  signed_at timestamptz,
  claimed_at timestamptz,
  check ((linking_key is null) = (signed_at is null)),
  check (claimed_at is null or signed_at is not null),
  check ((action = 'login') = (session_sha256 is null))
);
create index wallet_sign_ins_browser on wallet_sign_ins (browser_sha256, created_at desc);
create index wallet_sign_ins_account on wallet_sign_ins (account_id, claimed_at desc) where claimed_at is not null;
create index wallet_sign_ins_created on wallet_sign_ins (created_at);
