-- A withdrawal that its node cannot tell of any more, and was booked or released by the operator's word instead.
alter table withdrawals add column decided_at timestamptz;

-- Nodes that are gone for good, by the operator's word: nobody is told any more that their invoices are open. One that answers after all
-- is not gone.
create table gone_nodes (
  node_id text primary key,
  since timestamptz not null default clock_timestamp()
);
