-- A stored answer that its gateway may never have handed out, because it died first. It waits for a repeat as any other does; where none
-- has come when its time is over, its charge is given back.
alter table idempotency add column undelivered boolean not null default false;
create index idempotency_unclaimed on idempotency (expires_at) where undelivered and not replayed;

-- What became of an answer goes with it: a key that is used again after its day begins anew.
create function idempotency_taken_over() returns trigger language plpgsql as $$
begin
  new.replayed := false;
  new.undelivered := false;
  return new;
end $$;
create trigger idempotency_taken_over before update of request_id on idempotency
  for each row when (old.request_id is distinct from new.request_id) execute function idempotency_taken_over();
