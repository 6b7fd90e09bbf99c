-- Lists of an operator's, however many accounts and payments there are.

-- Frozen accounts are few. Those with a balance have no index: a balance that is part of one would make each charge write to it.
create index accounts_frozen on accounts (id) where frozen_at is not null;
-- An account is found by the beginning of a key's prefix.
create index api_keys_prefix on api_keys (prefix collate "C");
create index withdrawals_created on withdrawals (created_at desc, id desc);
create index withdrawals_account on withdrawals (account_id, created_at desc);
