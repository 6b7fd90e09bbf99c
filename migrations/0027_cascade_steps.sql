-- What a cascade asked for and paid, step by step, each with its usage and prices; null for all other requests. The request's own columns have
-- the sums, the name of the model whose answer its client got, and no price: the steps have theirs.
alter table requests add column steps jsonb check (jsonb_typeof(steps) = 'array');
