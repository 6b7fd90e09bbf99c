import type { Pool } from '../db/postgres.ts';
import { INVOICE_COLUMNS, type InvoiceRow } from './invoice.ts';

/**
 * The node's word on an invoice that is not settled. `unknown`: no invoice has that hash, which decides
 * nothing.
 */
export type Verdict = 'open' | 'canceled' | 'unknown';

/** When the node is asked about which invoice, apart from its notifications. Times are the database's. */
export class InvoiceSchedule {
  readonly #pool: Pool;
  readonly #nodeId: string;

  constructor(pool: Pool, nodeId: string) {
    this.#pool = pool;
    this.#nodeId = nodeId;
  }

  /** Rows about which this node is to be asked now, the longest due first. */
  async due(limit: number): Promise<InvoiceRow[]> {
    const { rows } = await this.#pool.query<InvoiceRow>(
      `select ${INVOICE_COLUMNS} from invoices where next_check_at <= clock_timestamp() and node_id = $1 order by next_check_at limit $2`,
      [this.#nodeId, limit],
    );
    return rows;
  }

  /** Makes every invoice due that is still on the schedule, because settlements may have been missed. */
  async makeDue(paymentHash?: Buffer): Promise<void> {
    await this.#pool.query(
      `update invoices set next_check_at = clock_timestamp()
       where next_check_at > clock_timestamp() and node_id = $1 and ($2::bytea is null or payment_hash = $2)`,
      [this.#nodeId, paymentHash ?? null],
    );
  }

  /**
   * Notes the node's word on an unpaid invoice, and when to ask again: after 5 s, 15 s, 60 s, then every 5
   * minutes, and every six hours from a day after the expiry on. Our clock only ends the offer. The schedule
   * ends with the node's own word: `canceled` an hour after the expiry, or `open` a day after it.
   */
  async checked(id: string, verdict: Verdict): Promise<void> {
    await this.#pool.query(
      `update invoices set checks = checks + 1,
         reusable = reusable and not (state = 'creating' and $2 = 'unknown' and created_at < now() - interval '1 minute'),
         state = case
           when state = 'creating' then case when $2 = 'unknown' and created_at < now() - interval '1 minute' then 'failed' else state end
           when state = 'failed' then state
           when expires_at <= now() then 'expired'
           when $2 = 'canceled' then 'canceled'
           else state end,
         next_check_at = case
           when state = 'creating' and $2 = 'unknown' and created_at < now() - interval '1 minute' then null
           when $2 = 'canceled' and expires_at < now() - interval '1 hour' then null
           when $2 = 'open' and expires_at < now() - interval '24 hours' then null
           when expires_at < now() - interval '24 hours' then now() + interval '6 hours'
           else now() + case checks when 0 then interval '5 seconds' when 1 then interval '15 seconds' when 2 then interval '1 minute'
             else interval '5 minutes' end
         end
       where id = $1 and state <> 'paid'`,
      [id, verdict],
    );
  }

  /** Asks again later, without a verdict, because the node could not be reached. */
  async postpone(id: string): Promise<void> {
    await this.#pool.query(
      `update invoices set next_check_at = clock_timestamp() + interval '5 seconds' where id = $1 and next_check_at <= clock_timestamp()`,
      [id],
    );
  }
}
