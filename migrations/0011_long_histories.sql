-- Reports on accounts with millions of charges. What is no charge is rare: an index of its own finds an account's deposits and refunds
-- without a walk through its charges, and takes the place of the one for refunds alone. And a key's requests are found by the key.
create index transfers_besides_charges on transfers (account_id, created_at) where kind <> 'charge';
drop index transfers_refunds;
create index requests_key on requests (key_id, created_at desc, id desc);
-- No gateway that was released calls it: `ledger_commit` took its place before there was one.
drop function ledger_batch;
