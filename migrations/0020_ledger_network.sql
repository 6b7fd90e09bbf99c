-- Which Lightning network the balances are of: play money must not buy what real money pays for, nor be paid out as such, whichever
-- gateways share the database. The first deposit sets it, a write-off takes it away, and every row that moves money is held against it.
create table ledger_network (
  only_row boolean primary key default true check (only_row),
  network text not null,
  since timestamptz not null default clock_timestamp()
);
insert into ledger_network (network, since)
  select network, credited_at from invoices
  where state = 'paid' and credited_at > coalesce((select max(created_at) from write_offs), '-infinity')
  order by credited_at limit 1;

-- An offer is compared, so that nobody pays into nowhere. What moves money also sets the network where there is none, and keeps others
-- from changing it until its own commit: of two first deposits at once the second one waits for the first.
create function refuse_other_network() returns trigger language plpgsql as $$
declare
  v_network text;
begin
  if new.state in ('creating', 'open') and tg_table_name = 'invoices' then
    select network into v_network from ledger_network;
  else
    insert into ledger_network (network) values (new.network) on conflict do nothing;
    select network into v_network from ledger_network for share;
  end if;
  if v_network <> new.network then
    raise exception 'the balances are of %, not of %', v_network, new.network using errcode = 'PN001';
  end if;
  return new;
end $$;
create trigger invoices_of_one_network before insert on invoices for each row execute function refuse_other_network();
create trigger deposits_of_one_network before update of state on invoices for each row
  when (new.state = 'paid' and old.state <> 'paid') execute function refuse_other_network();
create trigger withdrawals_of_one_network before insert on withdrawals for each row execute function refuse_other_network();
create trigger payments_of_one_network before update of state on withdrawals for each row
  when (new.state = 'sent' and old.state <> 'sent') execute function refuse_other_network();
