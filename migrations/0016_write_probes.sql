-- What tells whether the database can still write: emptied and filled at every probe, which takes room that was not there before.
create table write_probes (filler text not null);
alter table write_probes alter column filler set storage plain;
