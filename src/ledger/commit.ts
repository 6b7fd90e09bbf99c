import { arrayLiteral, byteaLiteral } from '../db/array-literal.ts';
import { BUSY } from '../db/batch.ts';
import type { QueryConfig, QueryResult, QueryResultRow } from '../db/postgres.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from './amount.ts';
import type { Admission, Checkpoint, Funding, HoldLimits, HoldRow, HoldVerdict, Settlement } from './hold.ts';

const CALL = `select * from ledger_commit(${Array.from({ length: 33 }, (_, index) => `$${index + 1}`).join(', ')})`;

/** Every column comes as text: arrays of numbers and words, which are cheaper to take apart here than by the driver. */
const AS_TEXT = { getTypeParser: () => (value: string) => value };

/** Carries out a statement; `NotConnectedError` where it never left. */
export type LedgerQuery = <Row extends QueryResultRow>(query: QueryConfig) => Promise<QueryResult<Row>>;

/**
 * Carries all rows out in one transaction, by the SQL function `ledger_commit` (migrations/0010), and gives their verdicts in order.
 * With `wait`, waits for accounts that are locked elsewhere; without, their rows come back as `BUSY`.
 */
export async function commit(
  query: LedgerQuery,
  limits: HoldLimits,
  rows: readonly HoldRow[],
  wait: boolean,
): Promise<(HoldVerdict | typeof BUSY)[]> {
  const batch = sorted(rows);
  const { rows: results } = await query<Result>({
    name: 'ledger_commit',
    text: CALL,
    types: AS_TEXT,
    values: [
      wait,
      limits.freeRequests,
      limits.freeDayPicoUsd,
      limits.freeStreams,
      limits.leaseSeconds,
      limits.instanceId,
      ...columnsOf(batch),
    ],
  });
  const [result] = results;
  if (!result) throw new Error('ledger_commit gave no row');
  return verdictsOf(batch, result);
}

/** A row, where it stood in the batch, and the place of its account among the batch's. */
interface Placed<Row> {
  row: Row;
  index: number;
  account: number;
}

interface SortedBatch {
  /** Each once, in the database's order of uuids. */
  accounts: string[];
  settlements: Placed<Settlement>[];
  checkpoints: Placed<Checkpoint>[];
  admissions: Placed<Admission>[];
}

function sorted(rows: readonly HoldRow[]): SortedBatch {
  const accounts = [...new Set(rows.map(({ accountId }) => accountId))].sort();
  const places = new Map(accounts.map((accountId, account) => [accountId, account]));
  const batch: SortedBatch = { accounts, settlements: [], checkpoints: [], admissions: [] };
  rows.forEach((row, index) => {
    const account = places.get(row.accountId) ?? 0;
    if (row.kind === 'settlement') batch.settlements.push({ row, index, account });
    else if (row.kind === 'checkpoint') batch.checkpoints.push({ row, index, account });
    else batch.admissions.push({ row, index, account });
  });
  return batch;
}

/** The function's arguments from `p_accounts` on. */
function columnsOf({ accounts, settlements, checkpoints, admissions }: SortedBatch): string[] {
  const freeDays = new Set(settlements.map(({ row }) => row.freeDay).filter((day) => day !== null));
  const answered = settlements.some(({ row }) => row.answer);
  const idempotent = admissions.filter(({ row }) => row.idempotency).length > 0 ? admissions : [];
  return [
    arrayLiteral(accounts, (accountId) => accountId),
    arrayLiteral([...freeDays], (day) => day),
    arrayLiteral(settlements, ({ row }) => row.requestId),
    arrayLiteral(settlements, ({ account }) => account + 1),
    arrayLiteral(settlements, ({ row }) => row.void),
    arrayLiteral(settlements, ({ row }) => row.chargeMsat),
    arrayLiteral(settlements, ({ row }) => row.costPicoUsd),
    arrayLiteral(answered ? settlements : [], ({ row }) => byteaLiteral(row.answer)),
    arrayLiteral(checkpoints, ({ row }) => row.requestId),
    arrayLiteral(checkpoints, ({ account }) => account + 1),
    arrayLiteral(checkpoints, ({ row }) => row.chargeMsat),
    arrayLiteral(checkpoints, ({ row }) => row.costPicoUsd),
    arrayLiteral(admissions, ({ row }) => row.requestId),
    arrayLiteral(admissions, ({ account }) => account + 1),
    arrayLiteral(admissions, ({ row }) => row.keyId),
    arrayLiteral(admissions, ({ row }) => row.keyVersion),
    arrayLiteral(admissions, ({ row }) => row.basePicoUsd),
    arrayLiteral(admissions, ({ row }) => row.perTokenPicoUsd),
    arrayLiteral(admissions, ({ row }) => row.leastTokens),
    arrayLiteral(admissions, ({ row }) => row.mostTokens),
    arrayLiteral(admissions, ({ row }) => row.freeMaxPicoUsd),
    arrayLiteral(admissions, ({ row }) => row.rate),
    arrayLiteral(admissions, ({ row }) => row.priceVersion),
    arrayLiteral(admissions, ({ row }) => row.stream),
    arrayLiteral(idempotent, ({ row }) => row.idempotency?.path),
    arrayLiteral(idempotent, ({ row }) => row.idempotency?.key),
    arrayLiteral(idempotent, ({ row }) => byteaLiteral(row.idempotency?.bodySha256)),
  ];
}

/** What the function gives: arrays as PostgreSQL writes them, null for one of nothing. Their meaning is told where it is defined. */
type Result = Record<
  | 'account_state'
  | 'available'
  | 'free_used'
  | 'free_limit'
  | 'funded'
  | 'budget_key'
  | 'budget_day'
  | 'budget_left'
  | 's_ord'
  | 's_verdict'
  | 's_funding'
  | 's_key'
  | 's_day'
  | 's_held'
  | 's_charged'
  | 's_spent'
  | 'c_kept'
  | 'a_ord'
  | 'a_held'
  | 'a_cost'
  | 'a_verdict'
  | 'a_funding'
  | 'a_tokens'
  | 'a_available'
  | 'a_free_used'
  | 'a_budget_left'
  | 'today',
  string | null
>;

type Verdicts = (HoldVerdict | typeof BUSY)[];
/** How an account stands after a batch: what all of its rows tell. */
type Standing = Pick<HoldVerdict, 'availableMsat' | 'freeUsed' | 'freeLimit' | 'funded'>;

const NOTHING: HoldVerdict = {
  verdict: 'unknown_account',
  funding: null,
  tokens: 0,
  heldMsat: msat(0n),
  chargedMsat: msat(0n),
  costPicoUsd: picoUsd(0n),
  availableMsat: msat(0n),
  freeUsed: 0,
  freeLimit: 0,
  budgetLeftPicoUsd: picoUsd(0n),
  budgetDay: '',
  funded: false,
};

function verdictsOf(batch: SortedBatch, result: Result): Verdicts {
  const states = listOf(result.account_state);
  const standings = standingsOf(batch.accounts, states, result);
  const budgets = budgetsOf(result);
  const verdicts: Verdicts = [];
  const { settlements, checkpoints, admissions } = batch;
  if (states.length > 0) {
    for (const { index, account } of [...settlements, ...checkpoints, ...admissions]) {
      verdicts[index] = states[account] === 'busy' ? BUSY : NOTHING;
    }
  }
  readSettlements(settlements, result, standings, budgets, verdicts);
  readCheckpoints(checkpoints, result, standings, verdicts);
  readAdmissions(admissions, result, standings, budgets, verdicts);
  return verdicts;
}

/** By the account's place; undefined for those whose lock was not had. */
function standingsOf(accounts: readonly string[], states: readonly string[], result: Result): (Standing | undefined)[] {
  const available = listOf(result.available);
  const freeUsed = listOf(result.free_used);
  const freeLimit = listOf(result.free_limit);
  const funded = listOf(result.funded);
  let next = 0;
  return accounts.map((_, account) => {
    if (states.length > 0 && states[account] !== 'locked') return undefined;
    const place = next++;
    return {
      availableMsat: msatOf(available[place]),
      freeUsed: Number(freeUsed[place]),
      freeLimit: Number(freeLimit[place]),
      funded: funded[place] === 't',
    };
  });
}

/** What is left of a key's budget for a day, by both. */
function budgetsOf(result: Result): Map<string, PicoUsd> {
  const days = listOf(result.budget_day);
  const left = listOf(result.budget_left);
  return new Map(listOf(result.budget_key).map((keyId, index) => [budgetName(keyId, days[index] ?? ''), picoUsdOf(left[index])]));
}

function budgetName(keyId: string, day: string): string {
  return `${keyId} ${day}`;
}

function readSettlements(
  settlements: readonly Placed<Settlement>[],
  result: Result,
  standings: readonly (Standing | undefined)[],
  budgets: ReadonlyMap<string, PicoUsd>,
  verdicts: Verdicts,
): void {
  const verdict = listOf(result.s_verdict);
  const funding = listOf(result.s_funding);
  const key = listOf(result.s_key);
  const day = listOf(result.s_day);
  const held = listOf(result.s_held);
  const charged = listOf(result.s_charged);
  const spent = listOf(result.s_spent);
  listOf(result.s_ord).forEach((ord, at) => {
    const placed = settlements[Number(ord) - 1];
    if (!placed) return;
    const budgetDay = wordOf(day[at]) ?? '';
    verdicts[placed.index] = {
      ...NOTHING,
      ...standings[placed.account],
      verdict: verdict[at] as HoldVerdict['verdict'],
      funding: wordOf(funding[at]) as Funding | null,
      heldMsat: msatOf(held[at]),
      chargedMsat: msatOf(charged[at]),
      costPicoUsd: picoUsdOf(spent[at]),
      budgetLeftPicoUsd: budgets.get(budgetName(key[at] ?? '', budgetDay)) ?? NOTHING.budgetLeftPicoUsd,
      budgetDay,
    };
  });
}

function readCheckpoints(
  checkpoints: readonly Placed<Checkpoint>[],
  result: Result,
  standings: readonly (Standing | undefined)[],
  verdicts: Verdicts,
): void {
  const kept = new Set(listOf(result.c_kept));
  checkpoints.forEach(({ index, account }, at) => {
    if (standings[account]) verdicts[index] = { ...NOTHING, verdict: kept.has(String(at + 1)) ? 'kept' : 'gone' };
  });
}

function readAdmissions(
  admissions: readonly Placed<Admission>[],
  result: Result,
  standings: readonly (Standing | undefined)[],
  budgets: ReadonlyMap<string, PicoUsd>,
  verdicts: Verdicts,
): void {
  const budgetDay = result.today ?? '';
  const held = listOf(result.a_held);
  const cost = listOf(result.a_cost);
  const verdict = listOf(result.a_verdict);
  const funding = listOf(result.a_funding);
  const tokens = listOf(result.a_tokens);
  const available = listOf(result.a_available);
  const freeUsed = listOf(result.a_free_used);
  const budgetLeft = listOf(result.a_budget_left);
  const oneByOne = verdict.length > 0;
  listOf(result.a_ord).forEach((ord, at) => {
    const placed = admissions[Number(ord) - 1];
    if (!placed) return;
    const admission = placed.row;
    const decided: HoldVerdict = {
      ...NOTHING,
      ...standings[placed.account],
      verdict: 'admitted',
      funding: 'wallet',
      tokens: admission.mostTokens,
      heldMsat: msatOf(held[at]),
      costPicoUsd: picoUsdOf(cost[at]),
      budgetLeftPicoUsd: budgets.get(budgetName(admission.keyId, budgetDay)) ?? NOTHING.budgetLeftPicoUsd,
      budgetDay,
    };
    if (oneByOne) {
      decided.verdict = verdict[at] as HoldVerdict['verdict'];
      decided.funding = wordOf(funding[at]) as Funding | null;
      decided.tokens = Number(wordOf(tokens[at]) ?? 0);
      decided.availableMsat = msatOf(available[at]);
      decided.freeUsed = Number(freeUsed[at]);
      decided.budgetLeftPicoUsd = picoUsdOf(budgetLeft[at]);
    }
    verdicts[placed.index] = decided;
  });
}

const NO_ELEMENTS: readonly string[] = [];

/** The elements of a one-dimensional array of numbers, ids, dates or single words, none of which PostgreSQL quotes. */
function listOf(array: string | null): readonly string[] {
  return array === null || array === '{}' ? NO_ELEMENTS : array.slice(1, -1).split(',');
}

function wordOf(element: string | undefined): string | null {
  return element === undefined || element === 'NULL' ? null : element;
}

function msatOf(element: string | undefined): Msat {
  return msat(BigInt(wordOf(element) ?? 0));
}

function picoUsdOf(element: string | undefined): PicoUsd {
  return picoUsd(BigInt(wordOf(element) ?? 0));
}
