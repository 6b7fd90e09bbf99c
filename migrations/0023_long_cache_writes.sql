-- Tokens written to a cache for an hour or more have a price of their own. `prompt_tokens` holds all of a prompt, these included.
alter table requests add column cache_write_long_tokens bigint not null default 0 check (cache_write_long_tokens >= 0);
