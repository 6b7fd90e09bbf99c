import { BUSY } from '../../src/db/batch.ts';
import { msat, picoUsd } from '../../src/amount.ts';
import type { Admission, HoldRow, HoldVerdict, Settlement } from '../../src/ledger/hold.ts';
import { RATE } from './holds.ts';
import type { LedgerModel, ModelHold } from './ledger-model.ts';

const NOTHING = {
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
} satisfies Omit<HoldVerdict, 'verdict'>;

export interface Surroundings {
  /** Accounts that somebody else has locked. */
  locked: ReadonlySet<string>;
  /** Accounts that were ever funded. */
  funded: ReadonlySet<string>;
  today: string;
}

/** What each row of a batch must be told, to the last figure, by the rules as they are written; the model takes the rows over. */
export function carryOut(model: LedgerModel, rows: readonly HoldRow[], around: Surroundings): (HoldVerdict | typeof BUSY)[] {
  const verdicts: (HoldVerdict | typeof BUSY)[] = rows.map(() => BUSY);
  const placed = rows.map((row, index) => ({ row, index })).filter(({ row }) => !around.locked.has(row.accountId));
  const settled: { index: number; held: ModelHold; verdict: HoldVerdict }[] = [];

  for (const { row, index } of placed) {
    if (row.kind !== 'settlement') continue;
    const held = heldOf(model, row);
    if (row.void) model.void(held);
    else model.post(held, row.costPicoUsd / RATE);
    const figures = { heldMsat: held.hold.heldMsat, chargedMsat: msat(held.chargedMsat), costPicoUsd: picoUsd(held.spentPicoUsd) };
    settled.push({
      index,
      held,
      verdict: { ...NOTHING, ...figures, verdict: row.void ? 'voided' : 'posted', funding: held.hold.funding, budgetDay: around.today },
    });
  }
  for (const { row, index } of placed) {
    if (row.kind !== 'checkpoint') continue;
    const held = heldOf(model, row);
    const kept = held.state === 'pending';
    if (kept) model.checkpoint(held, row.costPicoUsd / RATE);
    verdicts[index] = { ...NOTHING, verdict: kept ? 'kept' : 'gone' };
  }
  const admissions = placed.filter((one): one is { row: Admission & HoldRow; index: number } => one.row.kind === 'admission');
  const tell = new Map<number, HoldVerdict>();
  const all =
    admissions.length > 0 &&
    allFit(
      model,
      admissions.map(({ row }) => row),
    );
  for (const { row, index } of admissions.toSorted((a, b) => inTurn(a.row, b.row) || a.index - b.index)) {
    const prediction = model.predict(row);
    const verdict = { ...NOTHING, ...prediction, budgetDay: around.today } as HoldVerdict;
    model.admitted(row, verdict);
    tell.set(index, { ...verdict, ...model.standing(row) });
  }
  // Where nothing was in question, all are told how things stand after the batch.
  for (const { row, index } of admissions) {
    const told = tell.get(index) as HoldVerdict;
    verdicts[index] = { ...told, ...(all && model.standing(row)), funded: around.funded.has(row.accountId) };
  }
  for (const { index, held, verdict } of settled) {
    verdicts[index] = { ...verdict, ...model.standing(held.admission), funded: around.funded.has(held.admission.accountId) };
  }
  return verdicts;
}

function heldOf(model: LedgerModel, { requestId }: Pick<Settlement, 'requestId'>): ModelHold {
  const held = model.pick(0, ({ admission }) => admission.requestId === requestId);
  if (!held) throw new Error('not a hold of this model');
  return held;
}

/** An account's requests are decided key by key, and a key's in the order in which they came. */
function inTurn(a: Admission, b: Admission): number {
  return a.accountId.localeCompare(b.accountId) || a.keyId.localeCompare(b.keyId);
}

/** Whether every request can be paid for on its account's wallet with all that it asks for at most, with nothing free in question. */
function allFit(model: LedgerModel, admissions: readonly Admission[]): boolean {
  const heldBy = new Map<string, bigint>();
  const costBy = new Map<string, bigint>();
  for (const { accountId, keyId, basePicoUsd, perTokenPicoUsd, mostTokens } of admissions) {
    const cost = basePicoUsd + perTokenPicoUsd * BigInt(mostTokens);
    heldBy.set(accountId, (heldBy.get(accountId) ?? 0n) + (cost + RATE - 1n) / RATE);
    costBy.set(keyId, (costBy.get(keyId) ?? 0n) + cost);
  }
  if (admissions.some(({ feeMsat }) => feeMsat !== undefined)) return false;
  return admissions.every((admission) => {
    const { accountId, keyId } = admission;
    const { availableMsat, freeUsed, freeLimit, budgetLeftPicoUsd } = model.standing(admission);
    const affordable = (heldBy.get(accountId) ?? 0n) <= availableMsat && (costBy.get(keyId) ?? 0n) <= budgetLeftPicoUsd;
    return affordable && freeUsed >= freeLimit && model.predict(admission).verdict !== 'key_changed';
  });
}
