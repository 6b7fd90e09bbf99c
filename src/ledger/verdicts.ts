import { BUSY } from '../db/batch.ts';
import { msat, picoUsd, type Msat, type PicoUsd } from '../amount.ts';
import type { Admission, Checkpoint, HoldVerdict, PaidBy, Settlement } from './hold.ts';
import type { Placed, SortedBatch } from './sorted-batch.ts';

/** What the function returns; its definition explains each. */
export const RESULT_NAMES = [
  'account_state',
  'available',
  'free_used',
  'free_limit',
  'funded',
  'budget_key',
  'budget_day',
  'budget_left',
  's_ord',
  's_verdict',
  's_funding',
  's_key',
  's_day',
  's_held',
  's_charged',
  's_spent',
  'c_kept',
  'a_ord',
  'a_held',
  'a_cost',
  'a_verdict',
  'a_funding',
  'a_tokens',
  'a_available',
  'a_free_used',
  'a_budget_left',
  'today',
] as const;

/** Arrays as PostgreSQL writes them, empty for none. */
export type LedgerResult = Record<(typeof RESULT_NAMES)[number], string>;

/** @param answer the values in the order of `RESULT_NAMES`, with `|` between them. */
export function resultOf(answer: string): LedgerResult {
  const values = answer.split('|');
  return Object.fromEntries(RESULT_NAMES.map((name, index) => [name, values[index] ?? ''])) as LedgerResult;
}

export type Verdicts = (HoldVerdict | typeof BUSY)[];
/** How an account stands after a batch. All rows of the account say the same. */
type Standing = Pick<HoldVerdict, 'availableMsat' | 'freeUsed' | 'freeLimit' | 'funded'>;

/** What the function returned, and what all rows take from that. */
interface Answer {
  result: LedgerResult;
  /** By the account's place; undefined for those whose lock was not had. */
  standings: readonly (Standing | undefined)[];
  /** By `budgetName`. */
  budgets: ReadonlyMap<string, PicoUsd>;
}

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

/** The verdicts of a batch's rows, in their order in it. */
export function verdictsOf(batch: SortedBatch, result: LedgerResult): Verdicts {
  const states = listOf(result.account_state);
  const answer = { result, standings: standingsOf(batch.accounts, states, result), budgets: budgetsOf(result) };
  const verdicts: Verdicts = [];
  const { settlements, checkpoints, admissions } = batch;
  if (states.length > 0) {
    for (const { index, account } of [...settlements, ...checkpoints, ...admissions]) {
      verdicts[index] = states[account] === 'busy' ? BUSY : NOTHING;
    }
  }
  readSettlements(settlements, answer, verdicts);
  readCheckpoints(checkpoints, answer, verdicts);
  readAdmissions(admissions, answer, verdicts);
  return verdicts;
}

/** By the account's place; undefined for those whose lock was not had. */
function standingsOf(accounts: readonly string[], states: readonly string[], result: LedgerResult): (Standing | undefined)[] {
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

/** What is left of a key's budget on a day, by `budgetName`. */
function budgetsOf(result: LedgerResult): Map<string, PicoUsd> {
  const days = listOf(result.budget_day);
  const left = listOf(result.budget_left);
  return new Map(listOf(result.budget_key).map((keyId, index) => [budgetName(keyId, days[index] ?? ''), picoUsdOf(left[index])]));
}

function budgetName(keyId: string, day: string): string {
  return `${keyId} ${day}`;
}

function readSettlements(settlements: readonly Placed<Settlement>[], { result, standings, budgets }: Answer, verdicts: Verdicts): void {
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
      funding: wordOf(funding[at]) as PaidBy | null,
      heldMsat: msatOf(held[at]),
      chargedMsat: msatOf(charged[at]),
      costPicoUsd: picoUsdOf(spent[at]),
      budgetLeftPicoUsd: budgets.get(budgetName(key[at] ?? '', budgetDay)) ?? NOTHING.budgetLeftPicoUsd,
      budgetDay,
    };
  });
}

function readCheckpoints(checkpoints: readonly Placed<Checkpoint>[], { result, standings }: Answer, verdicts: Verdicts): void {
  const kept = new Set(listOf(result.c_kept));
  checkpoints.forEach(({ index, account }, at) => {
    if (standings[account]) verdicts[index] = { ...NOTHING, verdict: kept.has(String(at + 1)) ? 'kept' : 'gone' };
  });
}

function readAdmissions(admissions: readonly Placed<Admission>[], { result, standings, budgets }: Answer, verdicts: Verdicts): void {
  const budgetDay = result.today;
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
      decided.funding = wordOf(funding[at]) as PaidBy | null;
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
function listOf(array: string): readonly string[] {
  return array === '' || array === '{}' ? NO_ELEMENTS : array.slice(1, -1).split(',');
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
