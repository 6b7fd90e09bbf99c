import { tellWithCommit } from '../accounts/account-changes.ts';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { msatFromSats } from '../amount.ts';
import type { Funding } from '../funding.ts';
import type { InvoiceRow } from '../invoices/invoice.ts';
import { lockAccount } from '../ledger/deposit.ts';
import { backOffSeconds, consequenceOf, type Reason, type WalletWord } from './wallet-word.ts';

/** An attempt that has begun: nobody has its invoice yet. */
export interface Begun {
  readonly begun: InvoiceRow;
  /** Sealed. */
  readonly connection: Buffer;
  readonly walletNode: string | null;
}

/** Why no attempt begins now. `under_way` names the invoice of the one that is. */
export type NotBegun =
  | { readonly not: 'off' | 'enough' }
  /** Until then, as far as is known. */
  | { readonly not: 'later'; readonly until: Date }
  | { readonly not: 'under_way'; readonly invoiceId: string; readonly isAnswered: boolean };

interface StandingRow {
  /** Null where the account has none, or is frozen. */
  state: string | null;
  connection: Buffer;
  wallet_node: string | null;
  threshold_sat: number;
  topup_sat: number;
  daily_limit_sat: number;
  not_before: Date;
  waits: boolean;
  available_msat: bigint;
  spent_sat: number;
  tomorrow: Date;
  open_invoice: string | null;
  open_answer: string | null;
}

/** An attempt whose invoice may be final. */
export interface OpenAttempt {
  readonly invoiceId: string;
  readonly accountId: string;
}

/** Attempts of the day that count: those that were paid, and the one that may still be. */
export const SPENT_TODAY = `
  coalesce((
    select sum(t.amount_sat) from autopay_attempts t join invoices i on i.id = t.invoice_id
    where t.account_id = p.account_id and t.day = (clock_timestamp() at time zone 'utc')::date and (t.ended_at is null or i.state = 'paid')
  ), 0)::integer`;

/** 00:00 UTC of the next day. */
const TOMORROW = `((clock_timestamp() at time zone 'utc')::date + 1)::timestamp at time zone 'utc'`;

const STANDING = `
  select case when a.frozen_at is null then p.state end as state, p.connection, p.wallet_node, p.threshold_sat, p.topup_sat, p.daily_limit_sat, p.not_before, p.not_before > clock_timestamp() as waits,
    a.posted_msat - a.held_msat as available_msat, ${SPENT_TODAY} as spent_sat, ${TOMORROW} as tomorrow,
    o.invoice_id as open_invoice, o.answer as open_answer
  from accounts a left join autopay p on p.account_id = a.id
  left join autopay_attempts o on o.account_id = a.id and o.ended_at is null
  where a.id = $1`;

/** An account that asks again and again must not hold its lock for long. */
const LOCK_TIMEOUT = `set local lock_timeout = '1s'`;
/** A wallet's own clock may say anything. */
const LONGEST_WAIT = `interval '32 days'`;

/**
 * The rows of `autopay_attempts`. Whether one begins is decided under the account's lock, in the transaction that writes its invoice: one at a
 * time, within the day's limit, and only while the balance is low.
 */
export class Attempts {
  readonly #pool: Pool;
  readonly #funding: Pick<Funding, 'reserveAutopay'>;

  constructor(pool: Pool, funding: Pick<Funding, 'reserveAutopay'>) {
    this.#pool = pool;
    this.#funding = funding;
  }

  /** Begins an attempt of an account's, or tells why not. */
  async begin(accountId: string): Promise<Begun | NotBegun> {
    const decide = async (client: PoolClient): Promise<Begun | NotBegun> => {
      await client.query(LOCK_TIMEOUT);
      await lockAccount(client, accountId);
      const standing = (await client.query<StandingRow>(STANDING, [accountId])).rows[0];
      const refusal = standing ? refusalOf(standing) : ({ not: 'off' } as const);
      if (refusal || !standing) return refusal ?? { not: 'off' };
      const { topup_sat: amountSat, connection, wallet_node: walletNode } = standing;
      if (standing.spent_sat + amountSat > standing.daily_limit_sat) {
        await waitUntil(client, accountId, standing.tomorrow, 'DAY_LIMIT');
        return { not: 'later', until: standing.tomorrow };
      }
      const begun = await this.#funding.reserveAutopay(client, accountId, amountSat);
      await client.query(`insert into autopay_attempts (invoice_id, account_id, amount_sat) values ($1, $2, $3)`, [
        begun.id,
        accountId,
        amountSat,
      ]);
      return { begun, connection, walletNode };
    };
    try {
      return await transaction(this.#pool, decide, { promised: true });
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'last_owner_key') throw error;
      await this.#pool.query(`update autopay set state = 'paused', reason = 'NO_OWNER_KEY' where account_id = $1 and state = 'on'`, [
        accountId,
      ]);
      await tellWithCommit(this.#pool, accountId);
      return { not: 'off' };
    }
  }

  /** Notes that the wallet is asked now. False where the attempt has ended: then it must not be. */
  async asked(invoiceId: string): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `update autopay_attempts set asked_at = coalesce(asked_at, clock_timestamp()) where invoice_id = $1 and ended_at is null`,
      [invoiceId],
    );
    return rowCount === 1;
  }

  /** Notes the wallet's word, or why it was not asked. */
  async answered(invoiceId: string, word: WalletWord, retryAt: Date | null): Promise<void> {
    await this.#pool.query(
      `update autopay_attempts set answer = $2,
         retry_at = case when $3::timestamptz is not null then least($3, clock_timestamp() + ${LONGEST_WAIT}) end
       where invoice_id = $1`,
      [invoiceId, word, retryAt],
    );
  }

  /** The attempts whose invoices have been paid or can hardly be any more, oldest first. */
  async overdue(limit: number): Promise<OpenAttempt[]> {
    const { rows } = await this.#pool.query<{ invoice_id: string; account_id: string }>(
      `select t.invoice_id, t.account_id from autopay_attempts t join invoices i on i.id = t.invoice_id
       where t.ended_at is null and (i.state in ('paid', 'failed', 'canceled') or i.expires_at <= clock_timestamp())
       order by t.started_at limit $1`,
      [limit],
    );
    return rows.map((row) => ({ invoiceId: row.invoice_id, accountId: row.account_id }));
  }

  /** Accounts that need money and may be helped now. */
  async due(limit: number): Promise<string[]> {
    const { rows } = await this.#pool.query<{ account_id: string }>(
      `select p.account_id from autopay p join accounts a on a.id = p.account_id
       where p.state = 'on' and p.not_before <= clock_timestamp() and a.frozen_at is null and a.posted_msat - a.held_msat < p.threshold_sat * 1000::bigint
         and not exists (select from autopay_attempts t where t.account_id = p.account_id and t.ended_at is null)
       order by p.not_before limit $1`,
      [limit],
    );
    return rows.map(({ account_id: accountId }) => accountId);
  }

  /**
   * Ends an attempt by our node's final word on its invoice, once, and draws what follows from it. An unpaid one counts as a failure of the
   * wallet where the wallet was asked. Gives how it ended; undefined where it had ended before.
   */
  async end({ invoiceId, accountId }: OpenAttempt, isPaid: boolean): Promise<'paid' | 'unpaid' | 'not_asked' | undefined> {
    return transaction(this.#pool, async (client) => {
      await client.query(LOCK_TIMEOUT);
      await lockAccount(client, accountId);
      const { rows } = await client.query<{ started_at: Date; asked_at: Date | null; answer: WalletWord | null; retry_at: Date | null }>(
        `update autopay_attempts set ended_at = clock_timestamp() where invoice_id = $1 and ended_at is null
         returning started_at, asked_at, answer, retry_at`,
        [invoiceId],
      );
      const attempt = rows[0];
      if (!attempt) return undefined;
      // What was stored since is another connection, or the owner's word that it goes on.
      const settings = await client.query<{ failures: number }>(
        `select failures from autopay where account_id = $1 and stored_at <= $2 and state = 'on'`,
        [accountId, attempt.started_at],
      );
      const isOn = settings.rows[0] !== undefined;
      if (isPaid) {
        if (isOn) await client.query(`update autopay set failures = 0, reason = null where account_id = $1`, [accountId]);
        return 'paid';
      }
      const word = attempt.answer ?? (attempt.asked_at ? 'SILENT' : null);
      if (isOn) await follow(client, accountId, { word, failures: (settings.rows[0]?.failures ?? 0) + 1, retryAt: attempt.retry_at });
      return word ? 'unpaid' : 'not_asked';
    });
  }
}

/** What follows from an attempt that was not paid. */
async function follow(
  client: PoolClient,
  accountId: string,
  { word, failures, retryAt }: { word: WalletWord | null; failures: number; retryAt: Date | null },
): Promise<void> {
  // Nobody's fault but ours or our node's.
  if (word === null) {
    await client.query(`update autopay set not_before = clock_timestamp() + interval '1 minute' where account_id = $1`, [accountId]);
    return;
  }
  switch (consequenceOf(word)) {
    case 'stop':
      await client.query(`update autopay set state = 'stopped', reason = $2 where account_id = $1`, [accountId, word]);
      return;
    case 'await_budget':
      await waitUntil(client, accountId, retryAt, word);
      return;
    case 'back_off': {
      const seconds = backOffSeconds(failures);
      await client.query(
        `update autopay set failures = $3, reason = $2, state = case when $4::integer is null then 'paused' else state end,
           not_before = clock_timestamp() + make_interval(secs => coalesce($4::integer, 0))
         where account_id = $1`,
        [accountId, word, failures, seconds],
      );
    }
  }
}

/** Until a time, else the next UTC day. */
async function waitUntil(client: PoolClient, accountId: string, until: Date | null, reason: Reason): Promise<void> {
  await client.query(
    `update autopay set reason = $3, not_before = greatest(coalesce($2::timestamptz, ${TOMORROW}), clock_timestamp() + interval '1 minute')
     where account_id = $1`,
    [accountId, until, reason],
  );
}

function refusalOf(standing: StandingRow): NotBegun | undefined {
  const { state, waits, not_before: until, open_invoice: invoiceId, open_answer: answer } = standing;
  if (invoiceId !== null) return { not: 'under_way', invoiceId, isAnswered: answer !== null && answer !== 'PAID' };
  if (state !== 'on') return { not: 'off' };
  if (waits) return { not: 'later', until };
  return standing.available_msat < msatFromSats(standing.threshold_sat) ? undefined : { not: 'enough' };
}
