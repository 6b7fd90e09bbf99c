-- A payment that its node still tries to make can come to nothing: it cannot be booked yet.
alter table orphans add column pending boolean not null default false;
