-- What a Lightning node's own books have and the ledger does not know, as after the restore of a backup or the loss of a standby's last
-- seconds. While one is not dealt with, no withdrawal of its node begins: the money that it would take may have been paid out before.
create table orphans (
  node_id text not null,
  -- received: for an invoice under our name; paid: by the node, for no withdrawal or for one that counts as failed.
  direction text not null check (direction in ('received', 'paid')),
  payment_hash bytea not null,
  amount_msat bigint not null check (amount_msat > 0),
  fee_msat bigint not null default 0 check (fee_msat >= 0),
  bolt11 text,
  description text,
  happened_at timestamptz,
  found_at timestamptz not null default clock_timestamp(),
  resolution text check (resolution in ('credited', 'booked', 'dismissed')),
  resolved_at timestamptz,
  primary key (node_id, direction, payment_hash),
  check ((resolution is null) = (resolved_at is null))
);
create index orphans_open on orphans (node_id) where resolved_at is null;

-- How far the books of a node were compared with the ledger, both ways.
create table node_audits (
  node_id text primary key,
  -- What the node paid before this database knew it is nobody's withdrawal.
  met_at timestamptz not null default clock_timestamp(),
  -- Up to here in the node's own count, all is final and agrees.
  invoice_index bigint not null default 0 check (invoice_index >= 0),
  payment_index bigint not null default 0 check (payment_index >= 0),
  -- Up to here the ledger's deposits and withdrawals of the node are in its books.
  transfer_id bigint not null default 0 check (transfer_id >= 0)
);
insert into node_audits (node_id) select node_id from lightning_nodes;

-- The simulated node counts its payments as a real one does.
alter table simulated_payments add column payment_index bigint generated always as identity unique;
