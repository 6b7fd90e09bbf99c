-- What a statement tells of a movement besides its amount: the exchange rate of that moment, the way it came, and the payer's comment or the
-- reason. Null in rows from before, where it was not known, and in those of gateways of the version before.
alter table transfers add column pico_usd_per_msat bigint;
alter table transfers add column via text;
alter table transfers add column note text;
-- Not validated: there is nothing in these columns yet, and a long table is not read under its lock.
alter table transfers add constraint transfers_rate check (pico_usd_per_msat > 0) not valid;
alter table transfers add constraint transfers_via check (via in ('invoice', 'l402', 'address', 'autopay', 'lnurl')) not valid;
alter table transfers add constraint transfers_note check (char_length(note) between 1 and 1000) not valid;

-- Where a time falls in an account's transfers: their first id at or after it, or one past the last. An account's lock orders its transfers by
-- id and by time alike, so that halving finds the place in a history of any length without an index by time.
create function transfer_place(p_account uuid, p_at timestamptz) returns bigint
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
declare
  v_low bigint;
  v_high bigint;
  v_middle bigint;
  v_id bigint;
  v_at timestamptz;
begin
  select id into v_low from transfers where account_id = p_account order by id limit 1;
  if v_low is null then return 0; end if;
  select id + 1 into v_high from transfers where account_id = p_account order by id desc limit 1;
  while v_low < v_high loop
    v_middle := v_low + (v_high - v_low) / 2;
    select id, created_at into v_id, v_at from transfers where account_id = p_account and id >= v_middle order by id limit 1;
    if v_at >= p_at then v_high := v_middle; else v_low := v_id + 1; end if;
  end loop;
  return v_low;
end $$;
