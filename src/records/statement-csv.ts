import type { ApiKeys } from '../accounts/api-keys.ts';
import { btcUsdFromExchangeRate, formatUsd, picoUsdFromMsat } from '../amount.ts';
import { csvLine, decimal } from '../csv.ts';
import type { Pool } from '../db/postgres.ts';
import { statementPages, type StatementFilter, type StatementLine } from '../ledger/statement.ts';
import { keyNames } from './key-names.ts';

export interface CsvDeps {
  pool: Pool;
  apiKeys: Pick<ApiKeys, 'named'>;
}

const COLUMNS = 'time_utc,id,kind,amount_msat,balance_after_msat,btc_usd,usd,model,key,request_id,invoice_id,comment';

/**
 * A statement as CSV, newest first, in pieces of a thousand lines. `most` lines at most: where there are more, the last line says so in the
 * words of `more`, which gets the id of the last line told: the rest comes before it.
 */
export async function* statementCsv(
  { pool, apiKeys }: CsvDeps,
  filter: StatementFilter & { before?: bigint | null },
  { most, more }: { most: number; more: (before: bigint) => string },
): AsyncGenerator<string, void, undefined> {
  yield `${COLUMNS}\r\n`;
  const names = keyNames(apiKeys, filter.accountId);
  let last: StatementLine | undefined;
  let told = 0;
  for await (const lines of statementPages(pool, filter, most + 1)) {
    const shown = lines.slice(0, most - told);
    const named = await names(shown.map(({ keyId }) => keyId));
    yield shown.map((line) => csvLine(cellsOf(line, named))).join('');
    told += lines.length;
    last = shown.at(-1) ?? last;
  }
  if (told > most && last) yield csvLine([more(last.id)]);
}

function cellsOf(line: StatementLine, names: Map<string, string>) {
  const { picoUsdPerMsat: rate, amountMsat, keyId } = line;
  return [
    ...[line.createdAt.toISOString(), line.id, line.kind, amountMsat, line.balanceAfterMsat],
    ...[rate && decimal(String(btcUsdFromExchangeRate(rate))), rate && decimal(formatUsd(picoUsdFromMsat(amountMsat, rate)))],
    ...[line.model, keyId && (names.get(keyId) ?? keyId), line.requestId, line.invoiceId, line.note],
  ];
}
