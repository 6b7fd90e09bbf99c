-- Who has no key is offered an invoice too. It belongs to nobody until it is paid: its settlement makes the payer's account and the
-- key row that the payer's token names, in the crediting transaction. One that is never paid leaves no account behind.
alter table invoices alter column account_id drop not null;
alter table invoices add column payer_key_id uuid unique;
alter table invoices add constraint invoices_owner check (account_id is not null or (payer_key_id is not null and state <> 'paid'));
create index invoices_keyless_open on invoices (expires_at) where account_id is null and state in ('creating', 'open');
