import type { Pool, PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { recordAudit } from '../ledger/audit-history.ts';
import { auditLedger, type AuditOptions } from '../ledger/audit.ts';
import { observeAudit } from '../ledger/observe-audit.ts';
import type { Observe } from '../observation.ts';
import { performAct, type Act, type NewAct } from './acts.ts';

/** How far an audit is that an operator began. */
export interface AuditProgress {
  readonly rules: number;
  readonly of: number;
  readonly startedAt: Date;
}

export interface AuditRunsOptions extends AuditOptions {
  pool: Pool;
  observe: Observe;
}

const LOCK = 'pura-gateway audit by hand';

/** Audits of the whole ledger that operators begin: one at a time, whatever gateway they ask. */
export class AuditRuns {
  readonly #options: AuditRunsOptions;
  #progress: AuditProgress | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: AuditRunsOptions) {
    this.#options = options;
  }

  /** Of the one that this gateway runs. */
  get progress(): AuditProgress | undefined {
    return this.#progress;
  }

  /** Whether one is running, here or in another gateway. */
  async isRunning(): Promise<boolean> {
    if (this.#progress) return true;
    const { rows } = await this.#options.pool.query<{ taken: boolean }>(
      `select exists (select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
         and ((classid::bigint << 32) | objid::bigint) = hashtextextended($1, 8402) and granted) as taken`,
      [LOCK],
    );
    return rows[0]?.taken === true;
  }

  /** Begins one, and records that; it goes on by itself. Throws GatewayError `invalid_request` while another one is running. */
  async start(act: Omit<NewAct, 'act' | 'subject'>): Promise<Act> {
    const client = await this.#options.pool.connect();
    let begun = false;
    try {
      const { rows } = await client.query<{ had: boolean }>('select pg_try_advisory_lock(hashtextextended($1, 8402)) as had', [LOCK]);
      if (rows[0]?.had !== true)
        throw new GatewayError('invalid_request', { message: 'An audit is running already. Wait for its result.' });
      const { act: done, replayed } = await performAct(
        this.#options.pool,
        { ...act, act: 'run_audit', subject: { kind: 'ledger', id: 'whole' } },
        () => Promise.resolve({}),
      );
      begun = !replayed;
      if (begun) this.#running = this.#run(client, act.by.name);
      return done;
    } finally {
      if (!begun) await release(client);
    }
  }

  /** Resolves once the one that this gateway runs has ended. */
  done(): Promise<void> {
    return this.#running;
  }

  async #run(client: PoolClient, ranBy: string): Promise<void> {
    const { pool, observe } = this.#options;
    const startedAt = new Date();
    const began = performance.now();
    this.#progress = { rules: 0, of: 0, startedAt };
    try {
      const onRule = (rules: number, of: number): void => void (this.#progress = { rules, of, startedAt });
      const violations = await auditLedger(pool, { ...this.#options, onRule });
      await recordAudit(pool, { tookMs: performance.now() - began, whole: true, ranBy, violations });
      observeAudit(observe, violations);
    } catch (error) {
      observe({ kind: 'audit_unfinished', err: error, ranBy });
    } finally {
      this.#progress = undefined;
      await release(client);
    }
  }
}

/** The lock ends with the connection at the latest. */
async function release(client: PoolClient): Promise<void> {
  const unlocked = await client.query('select pg_advisory_unlock(hashtextextended($1, 8402))', [LOCK]).then(
    () => undefined,
    (error: Error) => error,
  );
  client.release(unlocked);
}
