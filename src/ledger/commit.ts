import { arrayLiteral, byteaLiteral } from '../db/array-literal.ts';
import type { QueryConfig, QueryResult, QueryResultRow } from '../db/postgres.ts';
import type { HoldLimits, HoldRow } from './hold.ts';
import { sorted, type SortedBatch } from './sorted-batch.ts';
import { RESULT_NAMES, resultOf, verdictsOf, type Verdicts } from './verdicts.ts';

/**
 * All of the function's answer in one column. The driver reads each column's description anew every time,
 * which was a third of its work.
 */
const ANSWER = RESULT_NAMES.map((name) => `coalesce(${name}::text, '')`).join(', ');
const CALL = `select concat_ws('|', ${ANSWER}) as answer from ledger_commit(${Array.from({ length: 38 }, (_, index) => `$${index + 1}`).join(', ')})`;

/** Carries out a statement. Rejects with `NotConnectedError` if the statement never left this process. */
export type LedgerQuery = <Row extends QueryResultRow>(query: QueryConfig) => Promise<QueryResult<Row>>;

/**
 * Carries all rows out in one transaction, by the SQL function `ledger_commit` (migrations/0024). Returns
 * their verdicts in order. With `wait`, it waits for accounts that are locked elsewhere; without, their rows
 * come back as `BUSY`.
 */
export async function commit(query: LedgerQuery, limits: HoldLimits, rows: readonly HoldRow[], wait: boolean): Promise<Verdicts> {
  const batch = sorted(rows);
  const { rows: answers } = await query<{ answer: string }>({
    name: 'ledger_commit',
    text: CALL,
    values: [
      wait,
      limits.freeRequests,
      limits.freeDayPicoUsd,
      limits.freeSharePicoUsd,
      limits.freeStreams,
      limits.freeAtOnce,
      limits.answerBytes,
      limits.freeAnswerBytes,
      limits.leaseSeconds,
      limits.instanceId,
      ...columnsOf(batch),
    ],
  });
  const [row] = answers;
  if (!row) throw new Error('ledger_commit gave no row');
  return verdictsOf(batch, resultOf(row.answer));
}

/** The function's arguments from `p_accounts` on. */
function columnsOf({ accounts, settlements, checkpoints, admissions }: SortedBatch): string[] {
  const freeDays = new Set(settlements.map(({ row }) => row.freeDay).filter((day) => day !== null));
  const answered = settlements.some(({ row }) => row.answer);
  const idempotent = admissions.some(({ row }) => row.idempotency) ? admissions : [];
  const withFee = admissions.some(({ row }) => row.feeMsat !== undefined) ? admissions : [];
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
    arrayLiteral(admissions, ({ row }) => row.picoUsdPerMsat),
    arrayLiteral(admissions, ({ row }) => row.priceVersion),
    arrayLiteral(admissions, ({ row }) => row.stream),
    arrayLiteral(idempotent, ({ row }) => row.idempotency?.path),
    arrayLiteral(idempotent, ({ row }) => row.idempotency?.key),
    arrayLiteral(idempotent, ({ row }) => byteaLiteral(row.idempotency?.bodySha256)),
    arrayLiteral(withFee, ({ row }) => row.feeMsat),
  ];
}
