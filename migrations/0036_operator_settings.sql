-- What operators have set while gateways run: providers that are off, the log's level. It holds for every gateway of this database, and over
-- restarts, until an operator takes it back; a row that is not there is as configured.
create table operator_settings (
  -- `provider:<id>`, or `log_level`.
  name text primary key,
  value text not null,
  set_at timestamptz not null default clock_timestamp(),
  act_id uuid not null references admin_acts (id)
);

-- What all accounts used on a day: the rows come in the order of their time, so that this costs hardly anything.
create index usage_hours_hour on usage_hours using brin (hour) with (pages_per_range = 32);
