import { setTimeout as delay } from 'node:timers/promises';
import { isConnectionLost, isPassing, NotConnectedError } from './postgres.ts';

/** A row that waits for its place in a batch. */
export interface BatchRow {
  readonly accountId: string;
  /** True for rows that must be carried out in the end, whatever fails: they go first and are tried again. */
  readonly mustLand: boolean;
}

/** The database did not say whether the row was carried out, because the connection broke. Only for rows that need not land. */
export class OutcomeUnknownError extends Error {
  override name = 'OutcomeUnknownError';
}

/** The row was not carried out, and nothing has happened: the queue is full, its account stayed locked, or the database is away. */
export class NotCarriedOutError extends Error {
  override name = 'NotCarriedOutError';
  readonly reason: 'queue_full' | 'locked' | 'database_away';

  constructor(reason: 'queue_full' | 'locked' | 'database_away', cause?: Error) {
    super(`not carried out: ${reason}`, { cause });
    this.reason = reason;
  }
}

/** The verdict of a row whose account another transaction has locked. */
export const BUSY = Symbol('busy');

export interface BatchOptions<Row extends BatchRow, Verdict> {
  /**
   * Carries out all rows in one transaction and gives their verdicts in order. With `wait`, waits for locked accounts;
   * without, such rows come back as `BUSY`.
   */
  run: (rows: readonly Row[], wait: boolean) => Promise<(Verdict | typeof BUSY)[]>;
  /** How many batches may be under way at once, those of the lanes aside. */
  depth?: number;
  /** With how many rows a batch goes while another one is under way: what a batch costs by itself is then shared by as many. */
  aheadRows?: number;
  maxRows?: number;
  maxRowsPerAccount?: number;
  maxQueued?: number;
  maxLanes?: number;
  /** Waits before another try: a test's own clock may stand in. */
  pause?: (ms: number) => Promise<unknown>;
}

interface Waiting<Row, Verdict> {
  row: Row;
  resolve: (verdict: Verdict) => void;
  reject: (error: Error) => void;
  /** When it first found its account locked, of `performance.now()`. */
  busySince?: number;
}

const LOCK_NOT_AVAILABLE = '55P03';
/** Ended in favour of another transaction: a serialization failure, a deadlock. */
const GAVE_WAY = new Set(['40001', '40P01']);
/** How long a row for which there is no lane looks for its account's lock to be free, and how often. */
const BUSY_LIMIT_MS = 1_000;
const BUSY_RETRY_MS = 20;
const RETRY_MS = [50, 100, 200, 400, 800];

/**
 * Group commit: rows that arrive while a batch is under way go to the database together as the next one, so that a
 * busy gateway pays for a round trip and an fsync a batch. A lone row is sent at once.
 *
 * No account can hold up another: while others wait an account has at most `maxRowsPerAccount` rows in a batch, taken
 * round robin, and rows of an account that is locked elsewhere leave for a lane of their own, which waits.
 */
export class Batch<Row extends BatchRow, Verdict> {
  readonly #run: BatchOptions<Row, Verdict>['run'];
  readonly #depth: number;
  readonly #aheadRows: number;
  readonly #maxRows: number;
  readonly #maxRowsPerAccount: number;
  readonly #maxQueued: number;
  readonly #maxLanes: number;
  readonly #pause: (ms: number) => Promise<unknown>;
  /** By account, in the order of their turns. Rows that must land are taken before the others. */
  readonly #mustLand = new Map<string, Waiting<Row, Verdict>[]>();
  readonly #others = new Map<string, Waiting<Row, Verdict>[]>();
  readonly #lanes = new Map<string, Waiting<Row, Verdict>[]>();
  /** Rows that no verdict was given for yet, and those of them that wait for their batch. */
  #queued = 0;
  #waiting = 0;
  #underWay = 0;
  #failures = 0;
  #idle: (() => void)[] = [];

  constructor({
    run,
    depth = 1,
    aheadRows = 1,
    maxRows = 128,
    maxRowsPerAccount = 32,
    maxQueued = 10_000,
    maxLanes = 4,
    pause = (ms) => delay(ms),
  }: BatchOptions<Row, Verdict>) {
    this.#run = run;
    this.#depth = depth;
    this.#aheadRows = aheadRows;
    this.#maxRows = maxRows;
    this.#maxRowsPerAccount = maxRowsPerAccount;
    this.#maxQueued = maxQueued;
    this.#maxLanes = maxLanes;
    this.#pause = pause;
  }

  /**
   * Carries out one row; resolves after its transaction has committed.
   * Rejects with `NotCarriedOutError`, `OutcomeUnknownError`, or the database's own error for this row.
   * Rows that must land are never refused for load and never rejected for a lost connection.
   */
  submit(row: Row): Promise<Verdict> {
    if (this.#queued >= this.#maxQueued && !row.mustLand) return Promise.reject(new NotCarriedOutError('queue_full'));
    return new Promise((resolve, reject) => this.#enqueue({ row, resolve, reject }));
  }

  /** Rows that no verdict was given for yet. */
  get queued(): number {
    return this.#queued;
  }

  /** Resolves once nothing is queued or under way. */
  async drained(): Promise<void> {
    if (this.#queued > 0 || this.#underWay > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #enqueue(waiting: Waiting<Row, Verdict>): void {
    this.#queued++;
    const { accountId, mustLand } = waiting.row;
    const lane = this.#lanes.get(accountId);
    if (lane) {
      lane.push(waiting);
      return;
    }
    const queue = mustLand ? this.#mustLand : this.#others;
    const rows = queue.get(accountId);
    if (rows) rows.push(waiting);
    else queue.set(accountId, [waiting]);
    this.#waiting++;
    this.#send();
  }

  /** Sends what waits, as far as batches may be under way: at once where none is, else once there are enough rows. */
  #send(): void {
    while (this.#waiting >= (this.#underWay === 0 ? 1 : this.#aheadRows) && this.#underWay < this.#depth) {
      this.#underWay++;
      void this.#carryOut(this.#next(), false, () => {
        this.#underWay--;
        this.#send();
      }).then(() => this.#announceIdle());
    }
  }

  /** The rows of the next batch. Only an account that is alone may take more than its share of it. */
  #next(): Waiting<Row, Verdict>[] {
    const accounts = new Set([...this.#mustLand.keys(), ...this.#others.keys()]);
    const share = accounts.size === 1 ? this.#maxRows : this.#maxRowsPerAccount;
    const rows: Waiting<Row, Verdict>[] = [];
    const taken = new Map<string, number>();
    this.#take(this.#mustLand, share, taken, rows);
    this.#take(this.#others, share, taken, rows);
    return rows;
  }

  /** One turn for every account; whoever had it goes to the end of the queue. */
  #take(queue: Map<string, Waiting<Row, Verdict>[]>, share: number, taken: Map<string, number>, into: Waiting<Row, Verdict>[]): void {
    for (const [accountId, rows] of [...queue]) {
      if (into.length >= this.#maxRows) return;
      const had = taken.get(accountId) ?? 0;
      const turn = rows.splice(0, Math.min(share - had, this.#maxRows - into.length));
      if (turn.length === 0) continue;
      taken.set(accountId, had + turn.length);
      this.#waiting -= turn.length;
      into.push(...turn);
      queue.delete(accountId);
      if (rows.length > 0) queue.set(accountId, rows);
    }
  }

  /** @param done called once the rows' fate is known, before their callers are told: the next ones leave for the database first. */
  async #carryOut(rows: Waiting<Row, Verdict>[], wait: boolean, done = () => {}): Promise<void> {
    let verdicts: (Verdict | typeof BUSY)[];
    try {
      verdicts = await this.#run(
        rows.map(({ row }) => row),
        wait,
      );
      this.#failures = 0;
    } catch (error) {
      await this.#afterError(rows, wait, error as Error);
      done();
      return;
    }
    rows.forEach((waiting, index) => {
      if (verdicts[index] === BUSY) this.#divert(waiting);
    });
    done();
    rows.forEach((waiting, index) => {
      const verdict = verdicts[index];
      if (verdict !== BUSY) this.#resolve(waiting, verdict as Verdict);
    });
  }

  async #afterError(rows: Waiting<Row, Verdict>[], wait: boolean, error: Error): Promise<void> {
    const { code = '' } = error as { code?: string };
    if (error instanceof NotConnectedError || isConnectionLost(error)) {
      // Those still queued were not sent: that much is certain, and waiting would only add to the crowd at its return.
      const notSent = new NotCarriedOutError('database_away', error);
      const unknown = new OutcomeUnknownError('the connection to the database broke', { cause: error });
      this.#refuseQueued(notSent);
      await this.#tryAgain(rows, error instanceof NotConnectedError ? notSent : unknown, true);
    } else if (code === LOCK_NOT_AVAILABLE || (rows.length === 1 && GAVE_WAY.has(code))) {
      await this.#tryAgain(rows, new NotCarriedOutError('locked', error));
    } else if (isPassing(error)) {
      // Rolled back for want of something that comes back: space, memory, time.
      await this.#tryAgain(rows, new NotCarriedOutError('database_away', error));
    } else if (rows.length === 1) {
      for (const waiting of rows) this.#reject(waiting, error);
    } else {
      // One row's error rolled all of them back: alone, only that one fails.
      for (const waiting of rows) await this.#carryOut([waiting], wait);
    }
  }

  /**
   * Ends the rows with `refusal`, but for those that must land: they go back into the queue after a pause. A database
   * that is `away` gets the pause in any case: one that starts is held up by everybody who knocks.
   */
  async #tryAgain(rows: Waiting<Row, Verdict>[], refusal: Error, away = false): Promise<void> {
    const again = rows.filter(({ row }) => row.mustLand);
    for (const waiting of rows) if (!waiting.row.mustLand) this.#reject(waiting, refusal);
    if (again.length === 0 && !away) return;
    await this.#pause(RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)] ?? 0);
    for (const waiting of again) this.#requeue(waiting);
  }

  #requeue(waiting: Waiting<Row, Verdict>): void {
    this.#queued--;
    this.#enqueue(waiting);
  }

  /** Moves a row to its account's own lane, which waits for the lock while the other accounts go on. */
  #divert(waiting: Waiting<Row, Verdict>): void {
    const { accountId } = waiting.row;
    const lane = this.#lanes.get(accountId);
    if (lane) lane.push(waiting);
    else if (this.#lanes.size < this.#maxLanes) {
      this.#lanes.set(accountId, [waiting]);
      void this.#workLane(accountId);
    } else {
      // Most locks are another gateway's batch, and gone in milliseconds.
      waiting.busySince ??= performance.now();
      const tooLong = performance.now() - waiting.busySince > BUSY_LIMIT_MS;
      if (tooLong && !waiting.row.mustLand) this.#reject(waiting, new NotCarriedOutError('locked'));
      else setTimeout(() => this.#requeue(waiting), BUSY_RETRY_MS);
    }
  }

  async #workLane(accountId: string): Promise<void> {
    const lane = this.#lanes.get(accountId) ?? [];
    // The other rows of the account that came back from the same batch are put into the lane first.
    await Promise.resolve();
    while (lane.length > 0) {
      const rows = lane.toSorted((a, b) => Number(b.row.mustLand) - Number(a.row.mustLand)).slice(0, this.#maxRows);
      const taken = new Set(rows);
      lane.splice(0, lane.length, ...lane.filter((waiting) => !taken.has(waiting)));
      await this.#carryOut(rows, true);
    }
    this.#lanes.delete(accountId);
    this.#announceIdle();
  }

  #refuseQueued(refusal: Error): void {
    for (const rows of this.#others.values()) {
      this.#waiting -= rows.length;
      for (const waiting of rows) this.#reject(waiting, refusal);
    }
    this.#others.clear();
  }

  #resolve(waiting: Waiting<Row, Verdict>, verdict: Verdict): void {
    this.#queued--;
    waiting.resolve(verdict);
  }

  #reject(waiting: Waiting<Row, Verdict>, error: Error): void {
    this.#queued--;
    waiting.reject(error);
  }

  #announceIdle(): void {
    if (this.#queued > 0 || this.#underWay > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
