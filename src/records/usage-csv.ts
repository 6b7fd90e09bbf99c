import { btcUsdFromExchangeRate, formatUsd } from '../amount.ts';
import { csvLine, decimal, type Cell } from '../csv.ts';
import { keyNames } from './key-names.ts';
import { requestPages, type RecordedRequest, type RequestFilter, type RequestPage } from './recorded-requests.ts';
import type { CsvDeps } from './statement-csv.ts';

const COLUMNS: [name: string, cell: (request: RecordedRequest, key: string) => Cell][] = [
  ['time_utc', (r) => r.createdAt.toISOString()],
  ['id', (r) => r.id],
  ['model', (r) => r.model],
  ['requested_model', (r) => r.requestedModel],
  ['provider', (r) => r.provider],
  ['tier', (r) => r.tier],
  ['key', (_r, key) => key],
  ['outcome', (r) => r.outcome],
  ['status', (r) => (r.status === null ? null : BigInt(r.status))],
  ['funding', (r) => r.funding],
  ['prompt_tokens', (r) => BigInt(r.promptTokens)],
  ['completion_tokens', (r) => BigInt(r.completionTokens)],
  ['cached_tokens', (r) => BigInt(r.cachedTokens)],
  ['reasoning_tokens', (r) => BigInt(r.reasoningTokens)],
  ['cost_usd', (r) => decimal(formatUsd(r.costPicoUsd))],
  ['cost_msat', (r) => r.costMsat],
  ['charged_msat', (r) => r.chargedMsat],
  ['btc_usd', (r) => r.picoUsdPerMsat && decimal(String(btcUsdFromExchangeRate(r.picoUsdPerMsat)))],
  ['latency_ms', (r) => milliseconds(r.latencyMs)],
  ['ttft_ms', (r) => milliseconds(r.ttftMs)],
  ['path', (r) => r.path],
  ['upstream_request_id', (r) => r.upstreamRequestId],
  ['client_request_id', (r) => r.clientRequestId],
];

const milliseconds = (ms: number | null): Cell => (ms === null ? null : decimal(ms.toFixed(3)));

/**
 * Requests as CSV, newest first, in pieces of a thousand lines. `most` lines at most: where there are more, the last line says so in the words
 * of `more`, which gets the position of the last request told: the rest comes after it.
 */
export async function* usageCsv(
  { pool, apiKeys }: CsvDeps,
  filter: RequestFilter & { after?: RequestPage['after'] },
  { most, more }: { most: number; more: (after: RecordedRequest['position']) => string },
): AsyncGenerator<string, void, undefined> {
  yield csvLine(COLUMNS.map(([name]) => name));
  const names = keyNames(apiKeys, filter.accountId);
  let last: RecordedRequest | undefined;
  let told = 0;
  for await (const requests of requestPages(pool, filter, most + 1)) {
    const shown = requests.slice(0, most - told);
    const named = await names(shown.map(({ keyId }) => keyId));
    yield shown.map((request) => csvLine(COLUMNS.map(([, cell]) => cell(request, named.get(request.keyId) ?? request.keyId)))).join('');
    told += requests.length;
    last = shown.at(-1) ?? last;
  }
  if (told > most && last) yield csvLine([more(last.position)]);
}
