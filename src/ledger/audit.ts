import type { Pool } from '../db/postgres.ts';

/** A broken invariant: which, and where to look. */
export interface Violation {
  invariant: number;
  rule: string;
  /** The account, hold, key day, invoice or withdrawal at fault. */
  subject: string;
  expected: string;
  found: string;
}

interface Check {
  invariant: number;
  rule: string;
  /** Gives `subject, expected, found` for every violation. $1: the oldest age in seconds that a pending hold may have. */
  sql: string;
  withAge?: true;
}

const HOUR_MS = 3_600_000;
/** Of one rule: a mistake in a million rows is found by its first. */
const MAX_VIOLATIONS = 100;

const signed = `sum(case when credit = 'wallet' then amount_msat else -amount_msat end)`;

const CHECKS: Check[] = [
  {
    invariant: 1,
    rule: "a wallet's balance is its credits less its debits",
    sql: `select a.id as subject, coalesce(t.balance, 0) as expected, a.posted_msat as found
      from accounts a left join (select account_id, ${signed} as balance from transfers group by account_id) t on t.account_id = a.id
      where a.posted_msat <> coalesce(t.balance, 0)
      union all select t.account_id, 0, ${signed} from transfers t where not exists (select from accounts a where a.id = t.account_id) group by 1`,
  },
  {
    invariant: 1,
    rule: 'every transfer tells the balance that it left behind',
    sql: `select id::text as subject, expected, balance_after_msat as found from (
        select id, balance_after_msat, sum(case when credit = 'wallet' then amount_msat else -amount_msat end) over (partition by account_id order by id) as expected
        from transfers) t where expected <> balance_after_msat`,
  },
  {
    invariant: 2,
    rule: 'the reserved amount is the sum of the pending holds and withdrawals',
    sql: `select a.id as subject, coalesce(h.held, 0) as expected, a.held_msat as found
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
    sql: `select id as subject, 0 as expected, posted_msat - held_msat as found from accounts where posted_msat - held_msat < 0`,
  },
  {
    invariant: 4,
    rule: 'free requests used are the pending and posted free holds',
    sql: `select a.id as subject, coalesce(h.used, 0) as expected, a.free_used as found
      from accounts a left join (
        select account_id, count(*) as used from holds where funding = 'free' and state in ('pending', 'posted') group by account_id) h on h.account_id = a.id
      where a.free_used <> coalesce(h.used, 0)`,
  },
  {
    invariant: 4,
    rule: 'free streams at once are the pending free holds of streams',
    sql: `select a.id as subject, coalesce(h.streams, 0) as expected, a.free_streams as found
      from accounts a left join (
        select account_id, count(*) as streams from holds where funding = 'free' and stream and state = 'pending' group by account_id) h on h.account_id = a.id
      where a.free_streams <> coalesce(h.streams, 0)`,
  },
  {
    invariant: 5,
    rule: "a key's budget reserved and spent are the holds of that day",
    sql: budgetCheck('key_id', 'budget_days', `funding <> 'byok'`),
  },
  {
    invariant: 5,
    rule: 'the free spending of a day is its free holds',
    sql: budgetCheck(null, 'free_days', `funding = 'free'`),
  },
  {
    invariant: 6,
    rule: 'a paid invoice has exactly one deposit of the amount received, on its own account',
    sql: `select i.id as subject, i.received_msat as expected, t.amount_msat as found
      from invoices i left join transfers t on t.id = i.transfer_id
      where i.state = 'paid' and (t.id is null or t.kind <> 'deposit' or t.amount_msat <> i.received_msat or t.account_id <> i.account_id
        or t.invoice_id <> i.id or t.idempotency_key <> 'topup:' || encode(i.payment_hash, 'hex'))`,
  },
  {
    invariant: 6,
    rule: 'every deposit belongs to a paid invoice, and no invoice has two',
    sql: `select t.id::text as subject, i.received_msat as expected, t.amount_msat as found
      from transfers t left join invoices i on i.id = t.invoice_id and i.transfer_id = t.id and i.state = 'paid'
      where t.kind = 'deposit' and i.id is null`,
  },
  {
    invariant: 7,
    rule: 'a posted hold with a charge has exactly one transfer of that amount',
    sql: `select h.request_id as subject, h.posted_msat as expected, coalesce(t.charged, 0) as found
      from holds h left join (
        select request_id, account_id, sum(amount_msat) as charged, count(*) as transfers from transfers where kind = 'charge' group by 1, 2) t
        on t.request_id = h.request_id and t.account_id = h.account_id
      where h.posted_msat <> coalesce(t.charged, 0) or t.transfers > 1`,
  },
  {
    invariant: 7,
    rule: 'every charge belongs to a posted hold, and refunds give back no more than was charged',
    sql: `select t.id::text as subject, coalesce(h.posted_msat, 0) as expected, t.amount_msat as found
      from transfers t left join holds h on h.request_id = t.request_id and h.account_id = t.account_id and h.state = 'posted'
      where (t.kind = 'charge' and (h.request_id is null or h.posted_msat <> t.amount_msat))
        or (t.kind = 'refund' and (h.request_id is null or h.posted_msat < (
          select sum(r.amount_msat) from transfers r where r.kind = 'refund' and r.account_id = t.account_id and r.request_id = t.request_id)))`,
  },
  {
    invariant: 7,
    rule: 'a paid withdrawal has a transfer of its amount and fee, and no transfer is without its withdrawal',
    sql: `select coalesce(w.id::text, t.id::text) as subject, coalesce(w.amount_msat + w.fee_msat, 0) as expected, coalesce(t.amount_msat, 0) as found
      from (select * from withdrawals where state = 'paid') w
      full join (select * from transfers where kind = 'withdrawal') t on t.id = w.transfer_id and t.account_id = w.account_id
      where coalesce(w.amount_msat + w.fee_msat, 0) <> coalesce(t.amount_msat, 0)`,
  },
  {
    invariant: 8,
    rule: "no pending hold is older than the longest stream and the sweeper's lease",
    sql: `select request_id as subject, $1::double precision as expected, extract(epoch from clock_timestamp() - created_at) as found
      from holds where state = 'pending' and created_at < clock_timestamp() - make_interval(secs => $1)`,
    withAge: true,
  },
  {
    invariant: 12,
    rule: 'an account with a balance, held money or an open invoice has a live owner key',
    sql: `select a.id as subject, 'a live owner key' as expected, 'none' as found from accounts a
      where (a.posted_msat > 0 or a.held_msat > 0 or exists (select from invoices i where i.account_id = a.id and i.state in ('creating', 'open')))
        and not exists (select from api_keys k where k.account_id = a.id and k.role = 'owner' and k.revoked_at is null
          and (k.expires_at is null or k.expires_at > clock_timestamp()))`,
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
      select ${columns}, coalesce(sum(amount_pico_usd) filter (where state = 'pending'), 0) as reserved, sum(posted_pico_usd) as spent
      from holds where ${funding} group by ${columns}) h on ${on}
    where coalesce(d.reserved_pico_usd, 0) <> coalesce(h.reserved, 0) or coalesce(d.spent_pico_usd, 0) <> coalesce(h.spent, 0)`;
}

/**
 * Checks every invariant of the ledger in one snapshot, while the gateway may go on. Gives the violations, at most 100
 * of each rule; none for a sound ledger.
 * @param oldestHoldSeconds how old a pending hold may be: the longest stream and a lease.
 */
export async function auditLedger(pool: Pool, { oldestHoldSeconds }: { oldestHoldSeconds: number }): Promise<Violation[]> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('begin isolation level repeatable read read only');
    // A large ledger takes its time, and nobody waits for this.
    await client.query('set local statement_timeout = 0');
    const violations: Violation[] = [];
    for (const { invariant, rule, sql, withAge } of CHECKS) {
      const query = {
        text: `select * from (${sql}) violations limit ${MAX_VIOLATIONS}`,
        values: withAge ? [oldestHoldSeconds] : [],
        query_timeout: HOUR_MS,
      };
      const { rows } = await client.query<{ subject: unknown; expected: unknown; found: unknown }>(query);
      for (const { subject, expected, found } of rows) {
        violations.push({ invariant, rule, subject: String(subject), expected: String(expected), found: String(found) });
      }
    }
    await client.query('commit');
    return violations;
  } catch (error) {
    broken = error as Error;
    throw error;
  } finally {
    client.release(broken);
  }
}
