-- Reports leave refunded charges out: there are few, and this finds an account's without a walk through its charges.
create index transfers_refunds on transfers (account_id, request_id) where kind = 'refund';
