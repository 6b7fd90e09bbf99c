import type { Pool } from '../src/db/postgres.ts';
import type { Payer } from '../test/support/holds.ts';

/** How much of what there is to be. */
export interface HistorySize {
  requests: number;
  keys: number;
  /** Each request has any of the keys, which leaves nothing to sum up by key and hour; else a hundred of them are alive at a time. */
  spread: boolean;
}

const ALIVE = 100;
export const DAYS = 30;
const BALANCE_MSAT = 1_000_000_000_000n;

/** In SQL: an id that follows from a text, of the form that all ids have. */
const idOf = (text: string): string => `overlay(overlay(md5(${text}) placing '4' from 13) placing '8' from 17)::uuid`;

/** The same, in the order of a time. */
const idAtOf = (at: string, text: string): string =>
  `(lpad(to_hex((extract(epoch from ${at}) * 1000)::bigint), 12, '0') || '7' || substr(md5(${text}), 1, 3) || '8' || substr(md5(${text}), 4, 15))::uuid`;

type Run = (sql: string, values?: readonly unknown[]) => Promise<unknown>;

/** Statements that may take their time, on one connection. */
export async function patiently(pool: Pool, work: (run: Run) => Promise<unknown>): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('set statement_timeout = 0');
    await work((text, values = []) => client.query({ text, values: [...values], ...{ query_timeout: 3_600_000 } }));
  } finally {
    client.release(true);
  }
}

/** The requests of one account in the last 30 days, as they would have come, with all that the ledger writes of them: its audit is clean. */
export function addHistory(pool: Pool, { accountId, keyId }: Payer, { requests, keys, spread }: HistorySize): Promise<void> {
  return patiently(pool, async (run) => {
    await run(
      `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, label, daily_budget_pico_usd, created_at, revoked_at)
       select ${idOf(`'key ' || n`)}, $1, decode(md5(n::text), 'hex'), '0', 'pura_' || lpad(n::text, 6, '0'), 'inference', 'agent ' || n, 10 ^ 13,
         now() - ($2::int - n) * interval '4 minutes', case when n <= $2::int - $3::int then now() end from generate_series(1, $2::int) n`,
      [accountId, keys, ALIVE],
    );
    await deposit(run, accountId);
    await run(
      `create temporary table made as
       select ${idAtOf('at', `'request ' || n`)} as id, n, at, abs(hashint4(n::int)) as dice,
         case when n % 1000 = 0 then $5::uuid else ${idOf(`'key ' || case when $4 then 1 + abs(hashint4(n::int + 7)) % $2
           else 1 + (n * greatest($2 - $3, 0) / $1 + abs(hashint4(n::int + 7)) % least($2, $3)) % $2 end`)} end as key_id
       from generate_series(1, $1::bigint) n cross join lateral (select now() - ($1::bigint - n) * interval '${DAYS} days' / $1 as at) t`,
      [requests, keys, ALIVE, spread, keyId],
    );
    for (const sql of [HOLDS, REQUESTS, CHARGES]) await run(sql, [accountId]);
    await run(
      `insert into budget_days (key_id, day, account_id, spent_pico_usd)
       select key_id, budget_day, account_id, sum(posted_pico_usd) from holds where account_id = $1 group by 1, 2, 3`,
      [accountId],
    );
    await run(
      `update accounts a set posted_msat = (select balance_after_msat from transfers t where t.account_id = a.id order by id desc limit 1),
      funded_at = now() where id = $1`,
      [accountId],
    );
    await run('drop table made');
  });
}

async function deposit(run: Run, accountId: string): Promise<void> {
  await run(
    `with paid as (
       insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, invoice_id, created_at)
       values ('topup:' || encode(sha256('first'), 'hex'), $1, 'deposit', 'lightning_receivable', 'wallet', $2, $2, ${idOf("'first'")}, now() - interval '${DAYS + 1} days')
       returning id)
     insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, received_msat, transfer_id, created_at, expires_at, credited_at)
     select ${idOf("'first'")}, $1, 'simulated', 'node', 'simulated', sha256('first'), 'lnbcrt1', 1000000000, 'paid', $2, id, now() - interval '${DAYS + 1} days',
       now() - interval '${DAYS} days', now() - interval '${DAYS + 1} days' from paid`,
    [accountId, BALANCE_MSAT],
  );
}

const CHARGE = '(20 + dice % 900)';
const HOLDS = `
  insert into holds (request_id, account_id, key_id, funding, state, amount_msat, posted_msat, amount_pico_usd, posted_pico_usd, budget_day,
    pico_usd_per_msat, price_version, stream, idempotent, instance_id, lease_until, created_at, resolved_at)
  select id, $1, key_id, 'wallet', case when dice % 100 = 0 then 'voided' else 'posted' end, 2000, case when dice % 100 = 0 then 0 else ${CHARGE} end,
    2000000000, case when dice % 100 = 0 then 0 else ${CHARGE} * 1000000::bigint end, (at at time zone 'utc')::date, 1000000, 1, false, false, id, at, at, at
  from made order by n`;
/** One in five thousand records was lost in a crash. */
const REQUESTS = `
  insert into requests (id, account_id, key_id, created_at, path, requested_model, model, provider, tier, stream, outcome, status, funding,
    prompt_tokens, completion_tokens, cost_pico_usd, charged_msat, pico_usd_per_msat, latency_ms, explored)
  select id, $1, key_id, at + interval '20 milliseconds', '/v1/chat/completions', 'auto', 'model-' || dice % 12, 'provider-' || dice % 4, 'cheap', true,
    case when dice % 100 = 0 then 'refused' when dice % 33 = 1 then 'client_gone' else 'ok' end, 200, 'wallet', 900 + dice % 500, 80 + dice % 300,
    case when dice % 100 = 0 then 0 else ${CHARGE} * 1000000::bigint end, case when dice % 100 = 0 then 0 else ${CHARGE} end, 1000000, 900, dice % 40 = 3
  from made where dice % 5003 <> 1 order by n`;
const CHARGES = `
  insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, request_id, key_id, created_at)
  select 'charge:' || id, $1, 'charge', 'wallet', 'revenue', ${CHARGE}, ${BALANCE_MSAT} - sum(${CHARGE}) over (order by n), id, key_id, at
  from made where dice % 100 <> 0 order by n`;

/** Of the other accounts: one in so many is of the rarer kind. */
const ONE_IN = { withBalance: 50, frozen: 1_000, pending: 500, open: 20, orphans: 50 };

/**
 * Other accounts, for the operator's lists: each with a key, a top-up that was paid and a withdrawal. Few have a balance left, fewer are frozen;
 * some invoices are open, some withdrawals under way, and the node has payments that the ledger does not know.
 */
export function addOthers(pool: Pool, accounts: number, nodeId: string): Promise<void> {
  return patiently(pool, async (run) => {
    await run(
      `create temporary table other as select n, at, ${idAtOf('at', `'account ' || n`)} as id, ${idOf(`'invoice ' || n`)} as invoice_id, sha256(convert_to('paid ' || n, 'utf8')) as hash,
         1000 * (100 + abs(hashint4(n::int)) % 9000)::bigint as msat, n % ${ONE_IN.withBalance} = 0 as keeps, n % ${ONE_IN.pending} = 7 as waits
       from generate_series(1, $1::bigint) n cross join lateral (select now() - ($1 - n + 1) * interval '90 days' / $1 as at) t`,
      [accounts],
    );
    await run(`insert into accounts (id, posted_msat, held_msat, funded_at, answer_salt, created_at, frozen_at)
      select id, case when keeps or waits then msat else 0 end, case when waits then msat else 0 end, at, decode(md5(n::text), 'hex'), at,
        case when n % ${ONE_IN.frozen} = 0 then at end from other order by n`);
    await run(`insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, daily_budget_pico_usd, created_at)
      select ${idOf(`'other key ' || n`)}, id, sha256(convert_to('key ' || n, 'utf8')), '0', 'pura_' || substr(translate(encode(sha256(convert_to('p' || n, 'utf8')), 'base64'), '+/', '-_'), 1, 6),
        'owner', 10 ^ 13, at from other order by n`);
    await run(`insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, invoice_id, created_at)
      select 'topup:' || encode(hash, 'hex'), id, 'deposit', 'lightning_receivable', 'wallet', msat, msat, invoice_id, at from other order by n`);
    await run(
      `insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, received_msat, transfer_id, created_at, expires_at, credited_at)
       select o.invoice_id, o.id, 'simulated', $1, 'simulated', o.hash, 'lnbcrt1', o.msat / 1000, 'paid', o.msat, t.id, o.at, o.at + interval '1 hour', o.at + interval '1 minute'
       from other o join transfers t on t.idempotency_key = 'topup:' || encode(o.hash, 'hex') order by n`,
      [nodeId],
    );
    await run(
      `insert into invoices (id, account_id, backend, node_id, network, payment_hash, bolt11, amount_sat, state, created_at, expires_at, next_check_at)
       select ${idOf(`'open ' || n`)}, id, 'simulated', $1, 'simulated', sha256(convert_to('open ' || n, 'utf8')), 'lnbcrt1', msat / 1000, 'open',
         now() - n * interval '1 millisecond', now() + interval '1 day', now() + interval '6 hours' + n * interval '1 millisecond'
       from other where n % ${ONE_IN.open} = 0 order by n`,
      [nodeId],
    );
    await run(`insert into transfers (idempotency_key, account_id, kind, debit, credit, amount_msat, balance_after_msat, created_at)
      select 'withdrawal:' || encode(sha256(convert_to('out ' || n, 'utf8')), 'hex'), id, 'withdrawal', 'wallet', 'lightning_receivable', msat, 0, at + interval '10 minutes'
      from other where not keeps and not waits order by n`);
    await run(
      `insert into withdrawals (id, account_id, key_id, backend, node_id, network, payment_hash, bolt11, amount_msat, fee_limit_msat, fee_msat, state, failure, transfer_id,
         idempotency_sha256, expires_at, created_at, sent_at, deadline_at, resolved_at, next_check_at)
       select ${idOf(`'out ' || o.n`)}, o.id, ${idOf(`'other key ' || o.n`)}, 'simulated', $1, 'simulated', sha256(convert_to('out ' || o.n, 'utf8')), 'lnbcrt1',
         o.msat, 0, case when t.id is not null then 0 end, case when t.id is not null then 'paid' when waits then 'sent' else 'failed' end,
         case when keeps then 'no_route' end, t.id, sha256('x'), now() + interval '1 day', o.at + interval '9 minutes', o.at + interval '9 minutes', o.at + interval '10 minutes',
         case when not waits then o.at + interval '10 minutes' end, case when waits then now() + interval '1 day' end
       from other o left join transfers t on t.idempotency_key = 'withdrawal:' || encode(sha256(convert_to('out ' || o.n, 'utf8')), 'hex') order by o.n`,
      [nodeId],
    );
    await run(
      `insert into orphans (node_id, direction, payment_hash, amount_msat, description, happened_at)
       select $1, 'received', sha256(convert_to('orphan ' || n, 'utf8')), msat, 'a donation', at from other where n % ${ONE_IN.orphans} = 0`,
      [nodeId],
    );
    await run('drop table other');
  });
}
