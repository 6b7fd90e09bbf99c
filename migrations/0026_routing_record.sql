-- Why a request went where it went: the odds that chance was given, how hard the request was taken to be, and the chosen deployment's chance of
-- a wrong answer and score. Null under an exact model, where nothing was decided. `attempts` is how many times a provider was asked; null in
-- records from before, and of gateways of the version before.
alter table requests
  add column explore_odds double precision check (explore_odds between 0 and 1),
  add column difficulty double precision check (difficulty between 0 and 1),
  add column expected_error double precision check (expected_error between 0 and 1),
  add column routing_score double precision,
  add column attempts integer check (attempts >= 0);
