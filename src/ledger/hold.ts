import { Batch, BUSY, type BatchRow } from '../db/batch.ts';
import type { Pool } from '../db/postgres.ts';
import { msat, picoUsd, type Msat, type PicoUsd, type PicoUsdPerMsat } from './amount.ts';

/** A request for a hold: the cost is `base + tokens × perToken` for some number of tokens from `least` to `most`. */
export interface Admission {
  kind: 'admission';
  requestId: string;
  accountId: string;
  keyId: string;
  /** The version of the key row that the request was checked against; another one is refused. */
  keyVersion: number;
  basePicoUsd: PicoUsd;
  perTokenPicoUsd: PicoUsd;
  leastTokens: number;
  mostTokens: number;
  /** A request that costs more than this takes no free slot. */
  freeMaxPicoUsd: PicoUsd;
  rate: PicoUsdPerMsat;
  priceVersion: number;
  stream: boolean;
  /** `key` is a digest: no text of a client's goes into a batch. */
  idempotency?: { path: string; key: string; bodySha256: Buffer } | undefined;
}

/** What a request cost in the end. Never more than its hold: the rest of an overrun is the house's loss. */
export interface Settlement {
  kind: 'settlement';
  requestId: string;
  accountId: string;
  /** Releases the hold: nothing was delivered. A free slot goes back. */
  void: boolean;
  chargeMsat: Msat;
  costPicoUsd: PicoUsd;
  /** The hold's budget day where its funding is free. */
  freeDay: string | null;
  /** The encrypted answer that a repeat with the same Idempotency-Key gets. */
  answer?: Buffer | undefined;
}

/** What would be charged if this process died now. Only moves forward. */
export interface Checkpoint {
  kind: 'checkpoint';
  requestId: string;
  accountId: string;
  chargeMsat: Msat;
  costPicoUsd: PicoUsd;
}

export type Funding = 'free' | 'wallet' | 'byok';

export type Refusal =
  'key_gone' | 'key_changed' | 'budget' | 'used_up' | 'too_costly' | 'daily_ceiling' | 'free_streams' | 'idempotency' | 'unknown_account';

/** The ledger's answer to a row, with the state of the account and the key after it. */
export interface HoldVerdict {
  verdict:
    'admitted' | Refusal | 'posted' | 'voided' | 'already_posted' | 'already_voided' | 'already_pending' | 'unknown_hold' | 'kept' | 'gone';
  funding: Funding | null;
  /** Granted output tokens. */
  tokens: number;
  /** Held in the wallet; for a refusal, what the least of the request would have held. */
  heldMsat: Msat;
  chargedMsat: Msat;
  costPicoUsd: PicoUsd;
  availableMsat: Msat;
  freeUsed: number;
  freeLimit: number;
  budgetLeftPicoUsd: PicoUsd;
  budgetDay: string;
  funded: boolean;
}

export interface HoldLimits {
  freeRequests: number;
  freeDayPicoUsd: PicoUsd;
  freeStreams: number;
  leaseSeconds: number;
  instanceId: string;
}

type Row = (Admission | Settlement | Checkpoint) & BatchRow;
type ResultRow = [
  kind: string,
  ord: number,
  verdict: string,
  funding: Funding | null,
  tokens: bigint | null,
  held: bigint | null,
  charge: bigint | null,
  cost: bigint | null,
  available: bigint | null,
  freeUsed: number | null,
  freeLimit: number | null,
  budgetLeft: bigint | null,
  budgetDay: string | null,
  funded: boolean | null,
];

const CALL = `select * from ledger_batch(${Array.from({ length: 32 }, (_, index) => `$${index + 1}`).join(', ')})`;

/**
 * Holds: the ledger's reservations for requests under way. Each is placed before anything is sent upstream and resolved
 * exactly once, posted or voided. Concurrent callers share transactions (group commit).
 */
export class Holds {
  readonly #batch: Batch<Row, HoldVerdict>;
  readonly #pool: Pool;
  readonly #limits: HoldLimits;

  constructor(pool: Pool, limits: HoldLimits) {
    this.#pool = pool;
    this.#limits = limits;
    this.#batch = new Batch({ run: (rows, wait) => this.#run(rows, wait) });
  }

  /** Places a hold, or says why not. Rejects with `NotCarriedOutError` or `OutcomeUnknownError`: do not dispatch then. */
  admit(admission: Omit<Admission, 'kind'>): Promise<HoldVerdict> {
    return this.#batch.submit({ ...admission, kind: 'admission', mustLand: false });
  }

  /**
   * Resolves a hold. Tried until the database has answered; a second settlement of a hold changes nothing.
   * The caller may still turn `void` on while it waits: later tries release the hold.
   */
  settle(settlement: Settlement): Promise<HoldVerdict> {
    return this.#batch.submit(Object.assign(settlement, { mustLand: true }));
  }

  /** Records what a crash would charge, and renews the lease. `gone` where the hold is no longer ours. */
  checkpoint(checkpoint: Omit<Checkpoint, 'kind'>): Promise<HoldVerdict> {
    return this.#batch.submit({ ...checkpoint, kind: 'checkpoint', mustLand: false });
  }

  /** Resolves once no row is queued or under way. */
  drained(): Promise<void> {
    return this.#batch.drained();
  }

  async #run(rows: readonly Row[], wait: boolean): Promise<(HoldVerdict | typeof BUSY)[]> {
    const settlements = numbered(rows, 'settlement');
    const checkpoints = numbered(rows, 'checkpoint');
    const admissions = numbered(rows, 'admission');
    const { freeRequests, freeDayPicoUsd, freeStreams, leaseSeconds, instanceId } = this.#limits;
    const { rows: results } = await this.#pool.query<ResultRow>({
      name: 'ledger_batch',
      text: CALL,
      rowMode: 'array',
      values: [
        wait,
        freeRequests,
        freeDayPicoUsd,
        freeStreams,
        leaseSeconds,
        instanceId,
        ...settlementColumns(settlements.map(([row]) => row)),
        ...checkpointColumns(checkpoints.map(([row]) => row)),
        ...admissionColumns(admissions.map(([row]) => row)),
      ],
    });
    const verdicts: (HoldVerdict | typeof BUSY)[] = [];
    const places = { s: settlements, c: checkpoints, a: admissions };
    for (const result of results) {
      const place = places[result[0] as keyof typeof places][result[1] - 1]?.[1];
      if (place !== undefined) verdicts[place] = verdictOf(result);
    }
    return verdicts;
  }
}

function numbered<Kind extends Row['kind']>(rows: readonly Row[], kind: Kind): [Extract<Row, { kind: Kind }>, number][] {
  const found: [Extract<Row, { kind: Kind }>, number][] = [];
  rows.forEach((row, index) => {
    if (row.kind === kind) found.push([row as Extract<Row, { kind: Kind }>, index]);
  });
  return found;
}

function settlementColumns(rows: Settlement[]): string[] {
  return [
    arrayOf(rows, (row) => row.requestId),
    arrayOf(rows, (row) => row.accountId),
    arrayOf(rows, (row) => row.void),
    arrayOf(rows, (row) => row.chargeMsat),
    arrayOf(rows, (row) => row.costPicoUsd),
    arrayOf(rows, (row) => row.freeDay),
    arrayOf(rows, (row) => bytea(row.answer)),
  ];
}

function checkpointColumns(rows: Checkpoint[]): string[] {
  return [
    arrayOf(rows, (row) => row.requestId),
    arrayOf(rows, (row) => row.accountId),
    arrayOf(rows, (row) => row.chargeMsat),
    arrayOf(rows, (row) => row.costPicoUsd),
  ];
}

function admissionColumns(rows: Admission[]): string[] {
  return [
    arrayOf(rows, (row) => row.requestId),
    arrayOf(rows, (row) => row.accountId),
    arrayOf(rows, (row) => row.keyId),
    arrayOf(rows, (row) => row.keyVersion),
    arrayOf(rows, (row) => row.basePicoUsd),
    arrayOf(rows, (row) => row.perTokenPicoUsd),
    arrayOf(rows, (row) => row.leastTokens),
    arrayOf(rows, (row) => row.mostTokens),
    arrayOf(rows, (row) => row.freeMaxPicoUsd),
    arrayOf(rows, (row) => row.rate),
    arrayOf(rows, (row) => row.priceVersion),
    arrayOf(rows, (row) => row.stream),
    arrayOf(rows, (row) => row.idempotency?.path),
    arrayOf(rows, (row) => row.idempotency?.key),
    arrayOf(rows, (row) => bytea(row.idempotency?.bodySha256)),
  ];
}

/** A PostgreSQL array literal. Safe without quoting, because every value is a number, a uuid, a date, a digest or a path of ours. */
function arrayOf<T>(rows: T[], value: (row: T) => bigint | number | string | boolean | null | undefined): string {
  let literal = '{';
  for (let index = 0; index < rows.length; index++) {
    if (index > 0) literal += ',';
    const item = value(rows[index] as T);
    literal += item === null || item === undefined ? 'NULL' : String(item);
  }
  return literal + '}';
}

function bytea(bytes: Buffer | undefined): string | null {
  return bytes ? `"\\\\x${bytes.toString('hex')}"` : null;
}

function verdictOf(result: ResultRow): HoldVerdict | typeof BUSY {
  const [, , verdict, funding, tokens, held, charge, cost, available, freeUsed, freeLimit, budgetLeft, budgetDay, funded] = result;
  if (verdict === 'busy') return BUSY;
  return {
    verdict: verdict as HoldVerdict['verdict'],
    funding,
    tokens: Number(tokens ?? 0n),
    heldMsat: msat(held ?? 0n),
    chargedMsat: msat(charge ?? 0n),
    costPicoUsd: picoUsd(cost ?? 0n),
    availableMsat: msat(available ?? 0n),
    freeUsed: freeUsed ?? 0,
    freeLimit: freeLimit ?? 0,
    budgetLeftPicoUsd: picoUsd(budgetLeft ?? 0n),
    budgetDay: budgetDay ?? '',
    funded: funded ?? false,
  };
}
