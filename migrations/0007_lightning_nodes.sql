-- The Lightning nodes that this database has met: who they are, and how far their settlements have been dealt with.
create table lightning_nodes (
  -- Its public key: a place in one node's settlements means nothing to another.
  node_id text primary key,
  network text not null,
  -- SHA-256 of the credentials that it last answered to, so that a gateway can start while its node is away.
  credentials_sha256 bytea not null,
  -- Every settlement up to this index has been credited or is on the schedule; 0: none was seen yet.
  settle_index bigint not null default 0 check (settle_index >= 0),
  seen_at timestamptz not null default clock_timestamp()
);
create index lightning_nodes_credentials on lightning_nodes (credentials_sha256, seen_at desc);
