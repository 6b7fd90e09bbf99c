-- Who asked for an invoice without a key: keyed hashes of the sender's networks, narrowest first, so that none of them has all the invoices
-- that may be open.
alter table invoices add column sender_hashes text[] check (cardinality(sender_hashes) <= 3);
