import type { Invariant } from './invariant.ts';

const signed = (row: string) => `case when ${row}.credit = 'wallet' then ${row}.amount_msat else -${row}.amount_msat end`;

/** Rules on what accounts have, hold and may spend. */
export const WALLET_INVARIANTS: readonly Invariant[] = [
  {
    invariant: 1,
    rule: "a wallet's balance is its credits less its debits",
    runs: 'whole',
    sql: () => `select a.id as subject, coalesce(t.balance, 0) as expected, a.posted_msat as found
      from accounts a left join (select t.account_id, sum(${signed('t')}) as balance from transfers t group by 1) t on t.account_id = a.id
      where a.posted_msat <> coalesce(t.balance, 0)`,
  },
  {
    invariant: 1,
    rule: "a wallet's balance is what its last transfer left behind",
    runs: 'part',
    sql: () => `select a.id as subject, coalesce(t.balance_after_msat, 0) as expected, a.posted_msat as found
      from accounts a
      left join lateral (select balance_after_msat from transfers where account_id = a.id order by id desc limit 1) t on true
      where a.posted_msat <> coalesce(t.balance_after_msat, 0)`,
  },
  {
    invariant: 1,
    rule: 'every transfer tells the balance that it left behind',
    sql: ({ transfers }) => `select id as subject, expected, balance_after_msat as found from (
        select t.id, t.balance_after_msat, ${signed('t')} + coalesce(
          lag(t.balance_after_msat) over (partition by t.account_id order by t.id),
          (select p.balance_after_msat from transfers p where p.account_id = t.account_id and p.id < t.id order by p.id desc limit 1),
          0) as expected
        from ${transfers} t) t
      where expected <> balance_after_msat`,
  },
  {
    invariant: 1,
    rule: 'the transfers that an earlier audit counted are all there, and as they were',
    runs: 'whole',
    sql: () => `select s.transfer_id as subject, concat(s.transfers, ' of ', s.amount_msat) as expected, concat(t.transfers, ' of ', t.amount_msat) as found
      from sound_audits s cross join lateral (
        select count(*) as transfers, coalesce(sum(amount_msat), 0) as amount_msat from transfers where id <= s.transfer_id) t
      where (s.transfers, s.amount_msat) <> (t.transfers, t.amount_msat)`,
  },
  {
    invariant: 1,
    rule: 'every transfer is of an account and goes the way of its kind',
    sql: ({
      transfers,
    }) => `select t.id as subject, 'an account, and a way of its kind' as expected, concat_ws(' ', t.kind, t.debit, t.credit) as found
      from ${transfers} t left join accounts a on a.id = t.account_id
      where a.id is null or (t.kind, t.debit, t.credit) not in (
        ('deposit', 'lightning_receivable', 'wallet'), ('withdrawal', 'wallet', 'lightning_receivable'), ('charge', 'wallet', 'revenue'),
        ('refund', 'revenue', 'wallet'), ('adjustment', 'wallet', 'write_off'), ('adjustment', 'write_off', 'wallet'))`,
  },
  {
    invariant: 2,
    rule: 'the reserved amount is the sum of the pending holds and withdrawals',
    sql: () => `select a.id as subject, coalesce(h.held, 0) as expected, a.held_msat as found
      from accounts a
      left join (select account_id, sum(held) as held from (
        select account_id, amount_msat as held from holds where state = 'pending'
        union all select account_id, amount_msat + fee_limit_msat from withdrawals where state in ('creating', 'sent')) p group by account_id) h
        on h.account_id = a.id
      where a.held_msat <> coalesce(h.held, 0)`,
  },
  {
    invariant: 3,
    rule: 'what is available is never negative',
    sql: () => `select id as subject, 0 as expected, posted_msat - held_msat as found from accounts where posted_msat - held_msat < 0`,
  },
  {
    invariant: 4,
    rule: 'free requests used are the pending and posted free holds',
    runs: 'whole',
    sql: () => `select a.id as subject, coalesce(h.used, 0) as expected, a.free_used as found
      from accounts a left join (
        select account_id, count(*) as used from holds where funding = 'free' and state in ('pending', 'posted') group by account_id) h on h.account_id = a.id
      where a.free_used <> coalesce(h.used, 0)`,
  },
  {
    invariant: 4,
    rule: 'free streams at once are the pending free holds of streams',
    sql: () => `select a.id as subject, coalesce(h.streams, 0) as expected, a.free_streams as found
      from accounts a left join (
        select account_id, count(*) as streams from holds where funding = 'free' and stream and state = 'pending' group by account_id) h on h.account_id = a.id
      where a.free_streams <> coalesce(h.streams, 0)`,
  },
  {
    invariant: 4,
    rule: 'no account has more free requests than everybody, and none born of a payment has any',
    sql: ({ freeRequests }) => `select a.id as subject, p.most as expected, a.free_limit as found
      from accounts a cross join lateral (
        select case when exists (select from invoices i where i.account_id = a.id and i.payer_key_id is not null) then 0 else ${freeRequests} end as most) p
      where a.free_limit > p.most`,
  },
  {
    invariant: 5,
    rule: "a key's budget reserved and spent are the holds of that day",
    runs: 'whole',
    sql: () => budgetCheck('key_id', 'budget_days', `funding <> 'byok'`),
  },
  {
    invariant: 5,
    rule: 'the free spending of a day is its free holds',
    runs: 'whole',
    sql: () => budgetCheck(null, 'free_days', `funding = 'free'`),
  },
  {
    invariant: 5,
    rule: "an account's share of a free day is taken by no more than its free holds",
    sql: () => `select * from (
        select a.id as subject, a.free_spent_pico_usd as found, (
          select coalesce(sum(h.posted_pico_usd), 0) from holds h
          where h.account_id = a.id and h.state = 'posted' and h.resolved_at >= a.free_day::timestamp at time zone 'utc' and h.funding = 'free' and h.budget_day = a.free_day) as expected
        from accounts a where a.free_spent_pico_usd > 0) shares
      where found > expected`,
  },
  {
    invariant: 5,
    rule: "a hold is of a key of its own account's",
    sql: ({ holds }) => `select h.request_id as subject, h.account_id as expected, k.account_id as found
      from ${holds} h left join api_keys k on k.id = h.key_id where h.account_id is distinct from k.account_id`,
  },
  {
    invariant: 6,
    rule: 'a paid invoice has exactly one deposit of the amount received, on its own account',
    sql: ({ paidInvoices }) => `select i.id as subject, i.received_msat as expected, t.amount_msat as found
      from ${paidInvoices} i left join transfers t on t.id = i.transfer_id
      where t.id is null or t.kind <> 'deposit' or t.amount_msat <> i.received_msat or t.account_id <> i.account_id
        or t.invoice_id <> i.id or t.idempotency_key <> 'topup:' || encode(i.payment_hash, 'hex')`,
  },
  {
    invariant: 6,
    rule: 'every deposit belongs to a paid invoice, and no invoice has two',
    sql: ({ transfers }) => `select t.id as subject, i.received_msat as expected, t.amount_msat as found
      from ${transfers} t left join invoices i on i.id = t.invoice_id and i.transfer_id = t.id and i.state = 'paid'
      where t.kind = 'deposit' and i.id is null`,
  },
  {
    invariant: 6,
    rule: 'an account that counts as funded has a deposit, and no other has',
    sql: () => `select subject, funded as expected, not funded as found from (
        select id as subject, exists (select from transfers t where t.account_id = a.id and t.kind = 'deposit') as funded, funded_at from accounts a) a
      where funded <> (funded_at is not null)`,
  },
  {
    invariant: 7,
    rule: 'a posted hold with a charge has exactly one transfer of that amount',
    sql: ({ holds }) => `select h.request_id as subject, h.posted_msat as expected, coalesce(t.amount_msat, 0) as found
      from ${holds} h left join transfers t on t.idempotency_key = 'charge:' || h.request_id and t.account_id = h.account_id
      where h.posted_msat <> coalesce(t.amount_msat, 0)`,
  },
  {
    invariant: 7,
    rule: 'every charge and refund is the only one of a posted hold, and gives back no more than was charged',
    sql: ({ transfers }) => `select t.id as subject, coalesce(h.posted_msat, 0) as expected, t.amount_msat as found
      from ${transfers} t left join holds h on h.request_id = t.request_id and h.account_id = t.account_id and h.state in ('posted', 'refunded')
      where t.kind in ('charge', 'refund') and (
        h.request_id is null or t.idempotency_key <> t.kind || ':' || t.request_id
        or (t.kind = 'charge' and h.posted_msat <> t.amount_msat) or (t.kind = 'refund' and h.posted_msat < t.amount_msat))`,
  },
  {
    invariant: 7,
    rule: 'what a refunded hold was charged was given back',
    sql: ({ holds }) => `select h.request_id as subject, h.posted_msat as expected, coalesce(t.amount_msat, 0) as found
      from ${holds} h left join transfers t on t.idempotency_key = 'refund:' || h.request_id and t.account_id = h.account_id
      where h.state = 'refunded' and h.posted_msat <> coalesce(t.amount_msat, 0)`,
  },
  {
    invariant: 7,
    rule: 'a paid withdrawal has a transfer of its amount and fee, and no transfer is without its withdrawal',
    sql: ({ transfers }) => `select w.id::text as subject, w.amount_msat + w.fee_msat as expected, coalesce(t.amount_msat, 0) as found
      from withdrawals w left join transfers t on t.id = w.transfer_id and t.account_id = w.account_id and t.kind = 'withdrawal'
      where w.state = 'paid' and w.amount_msat + w.fee_msat <> coalesce(t.amount_msat, 0)
      union all
      select t.id::text, 0, t.amount_msat from ${transfers} t
      where t.kind = 'withdrawal' and not exists (select from withdrawals w where w.transfer_id = t.id and w.account_id = t.account_id)`,
  },
  {
    invariant: 8,
    rule: "no pending hold is older than the longest stream and the sweeper's lease",
    sql: ({ oldestHoldSeconds }) =>
      `select request_id as subject, ${oldestHoldSeconds} as expected, extract(epoch from clock_timestamp() - created_at) as found
      from holds where state = 'pending' and created_at < clock_timestamp() - make_interval(secs => ${oldestHoldSeconds})`,
  },
  {
    invariant: 12,
    rule: 'an account with a balance, held money or an open invoice has a live owner key, unless an operator revoked its keys',
    sql: () => `select a.id as subject, 'a live owner key' as expected, 'none' as found from accounts a
      where (a.posted_msat > 0 or a.held_msat > 0 or exists (select from invoices i where i.account_id = a.id and i.state in ('creating', 'open')))
        and not exists (select from api_keys k where k.account_id = a.id and k.role = 'owner' and k.revoked_at is null
          and (k.expires_at is null or k.expires_at > clock_timestamp()))
        and not exists (select from admin_acts o where o.subject_kind = 'account' and o.subject = a.id::text and o.act = 'revoke_keys')`,
  },
];

/** Holds and a table of day totals, compared from both sides. `key` is the column that tells the table's rows of one day apart. */
function budgetCheck(key: string | null, table: string, funding: string): string {
  const columns = key ? `${key}, budget_day` : 'budget_day';
  const on = key ? `d.${key} = h.${key} and d.day = h.budget_day` : 'd.day = h.budget_day';
  return `select concat_ws(' ', ${key ? `coalesce(d.${key}, h.${key}), ` : ''}coalesce(d.day, h.budget_day)) as subject,
      concat(coalesce(h.reserved, 0), ' reserved, ', coalesce(h.spent, 0), ' spent') as expected,
      concat(coalesce(d.reserved_pico_usd, 0), ' reserved, ', coalesce(d.spent_pico_usd, 0), ' spent') as found
    from ${table} d full join (
      select ${columns}, coalesce(sum(amount_pico_usd) filter (where state = 'pending'), 0) as reserved, coalesce(sum(posted_pico_usd) filter (where state = 'posted'), 0) as spent
      from holds where ${funding} group by ${columns}) h on ${on}
    where coalesce(d.reserved_pico_usd, 0) <> coalesce(h.reserved, 0) or coalesce(d.spent_pico_usd, 0) <> coalesce(h.spent, 0)`;
}
