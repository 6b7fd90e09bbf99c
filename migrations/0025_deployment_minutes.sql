-- What the attempts at each deployment came to, by minute, over all gateways: each adds its own every few seconds and reads the sums. Kept for
-- a day and an hour.
create table deployment_minutes (
  deployment text not null,
  provider text not null,
  -- Since 1970.
  minute integer not null,
  ok integer not null,
  faults integer not null,
  -- Sums over the attempts: to the first token of a stream, or to the end of an answer that came whole.
  latency_ms double precision not null,
  streams integer not null,
  ttft_ms double precision not null,
  output_tokens double precision not null,
  output_seconds double precision not null,
  -- Until when the provider asked for a pause; null where it did not.
  paused_until timestamptz,
  -- Readers ask for what changed since they last did.
  written_at timestamptz not null,
  primary key (minute, deployment)
) with (fillfactor = 50);
create index deployment_minutes_written on deployment_minutes (written_at);
