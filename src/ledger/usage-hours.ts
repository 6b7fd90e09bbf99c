import { setTimeout as delay } from 'node:timers/promises';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';

/** The longest stretch of charges that is added at once, where there are few of them. */
const LONGEST_SECONDS = 86_400;
const FIRST_SECONDS = 3_600;
/** A step that takes longer is halved the next time, and doubled where it takes a fifth of that. */
const STEP_MS = 250;
/**
 * Charges are added once they are this old. A clock of the database that is set back by less loses none of them; one that is set back by more
 * lets the sums begin anew there.
 */
const AGE_SECONDS = 5;

/** Most transactions take milliseconds. */
const WAIT_MS = 50;
const MOST_WAITS = 100;

export interface UsageHoursOptions {
  /** Charges younger than this are left to the next step. */
  ageSeconds?: number;
}

/**
 * Carries the sums of usage by hour on to what was charged since (migrations/0029). Any number of gateways may do so: one at a time does, the
 * others find nothing to do. Each step is short, also where years of history are to be added.
 */
export class UsageHours {
  readonly #pool: Pool;
  readonly #ageSeconds: number;
  #stepSeconds = FIRST_SECONDS;

  constructor(pool: Pool, { ageSeconds = AGE_SECONDS }: UsageHoursOptions = {}) {
    this.#pool = pool;
    this.#ageSeconds = ageSeconds;
  }

  /**
   * Adds as much as there is, step by step. A transaction of before is waited for, and left to the next time where it goes on for long. Ends
   * early where `signal` aborts.
   */
  async catchUp(signal?: AbortSignal): Promise<void> {
    for (let waits = 0; waits < MOST_WAITS;) {
      const went = await this.step();
      if (went === 'nothing' || signal?.aborted) return;
      waits = went === 'waits' ? waits + 1 : 0;
      if (went === 'waits') await delay(WAIT_MS, undefined, { signal }).catch(() => {});
    }
  }

  /**
   * Adds what was charged in the next stretch of time: `added`. `waits`: it cannot be known yet that no transaction of before will charge
   * something in that stretch. `nothing`: there is nothing old enough, or another gateway is at it.
   */
  async step(): Promise<'added' | 'waits' | 'nothing'> {
    if (!(await this.#close())) return 'nothing';
    // By itself, after the closing is committed: all that begins now reads it.
    await this.#pool.query(RAISE_BARRIER);
    const begun = performance.now();
    const added = await transaction(this.#pool, addClosed);
    if (added) this.#adapt(performance.now() - begun);
    return added ? 'added' : 'waits';
  }

  /** Closes the next stretch; true where one is closed and waits to be added. */
  async #close(): Promise<boolean> {
    const { rows } = await this.#pool.query<State>(NEXT, [this.#ageSeconds, this.#stepSeconds]);
    const [state] = rows;
    if (!state) throw new Error('usage_rollup has no row');
    if (state.is_set_back) await this.#pool.query(`select usage_begin_at(clock_timestamp() - interval '1 hour')`);
    if (state.is_closed || state.is_set_back) return state.is_closed && !state.is_set_back;
    if (!state.has_charges && !state.is_behind) return false;
    const closeTo = state.has_charges ? state.next_to : await this.#nextCharge(state.rolled_to);
    const { rowCount } = await this.#pool.query(CLOSE, [closeTo, state.rolled_to]);
    return rowCount === 1;
  }

  /** Where the next charge comes after a stretch without any, however long it takes to find; the present where none does. */
  #nextCharge(rolledTo: string): Promise<string | undefined> {
    return transaction(this.#pool, async (client) => {
      await client.query('set transaction read only; set local statement_timeout = 0');
      const query = { text: NEXT_CHARGE, values: [rolledTo, this.#ageSeconds], query_timeout: SEARCH_MS };
      return (await client.query<{ at: string }>(query)).rows[0]?.at;
    });
  }

  #adapt(tookMs: number): void {
    if (tookMs > STEP_MS) this.#stepSeconds = Math.max(1, this.#stepSeconds / 2);
    else if (tookMs < STEP_MS / 5) this.#stepSeconds = Math.min(LONGEST_SECONDS, this.#stepSeconds * 2);
  }
}

const SEARCH_MS = 3_600_000;

/** Times are text: a JavaScript date would cut them. */
interface State {
  rolled_to: string;
  next_to: string;
  /** The database's clock. */
  is_set_back: boolean;
  is_closed: boolean;
  /** More than one step is left. */
  is_behind: boolean;
  has_charges: boolean;
}

const NEXT = `
  select s.rolled_to::text, n.next_to::text, s.rolled_to > clock_timestamp() as is_set_back, s.closed_to > s.rolled_to as is_closed,
    n.next_to < n.ripe_at as is_behind,
    exists (select from holds h where h.state = 'posted' and h.resolved_at >= s.rolled_to and h.resolved_at < n.next_to) as has_charges
  from usage_rollup s cross join lateral (
    select r.ripe_at, least(r.ripe_at, s.rolled_to + make_interval(secs => $2)) as next_to
    from (select clock_timestamp() - make_interval(secs => $1) as ripe_at) r) n`;

const NEXT_CHARGE = `
  select least(min(resolved_at), clock_timestamp() - make_interval(secs => $2))::text as at from holds
  where state = 'posted' and resolved_at >= $1::timestamptz`;

/** Only from where it was seen: another gateway may have been faster, or the sums begin anew. */
const CLOSE = `
  update usage_rollup set closed_to = $1::timestamptz, barrier = null
  where closed_to = rolled_to and rolled_to = $2::timestamptz and closed_to < $1::timestamptz`;

const RAISE_BARRIER = `update usage_rollup set barrier = pg_snapshot_xmax(pg_current_snapshot()) where barrier is null and closed_to > rolled_to`;

/** Adds the stretch that is closed; false where a transaction from before its closing is still under way. */
async function addClosed(client: PoolClient): Promise<boolean> {
  const { rows } = await client.query<{ rolled_to: Date }>(
    `select rolled_to from usage_rollup where closed_to > rolled_to and pg_snapshot_xmin(pg_current_snapshot()) >= barrier for update skip locked`,
  );
  if (rows.length === 0) return false;
  // A statement of its own: it sees all that was committed before the lock was had.
  await client.query(`select usage_add('charged', rolled_to, closed_to, null) from usage_rollup`);
  await client.query('update usage_rollup set rolled_to = closed_to, barrier = null');
  return true;
}
