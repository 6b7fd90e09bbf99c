-- When the node first told that it has a withdrawal's payment. From then on its "no such payment" is no word on the payment, which was made
-- or tried: the node's record of it was deleted or lost.
alter table withdrawals add column known_at timestamptz;
