import type { AttemptFacts, ObservedDeployment, ObservedUsage, RequestAnswer, RequestOutcome } from '../observation.ts';
import { observeIn, type HistogramCell } from './cells.ts';
import type { MetricCells } from './metric-cells.ts';

const OPERATIONS = { generate: 'chat', embed: 'embeddings' } as const;

/** What `error_type` says of an ending at our edge: few words, because each one is a histogram for every model. */
const EDGE_ERRORS: Partial<Record<RequestOutcome, string>> = {
  refused: 'refused',
  upstream_error: 'upstream_error',
  broke_off: 'upstream_error',
  provider_error: 'upstream_error',
  client_gone: 'client_gone',
  lease_lost: '_OTHER',
  unsettled: '_OTHER',
};
const MS = 1000;
const PICO_PER_USD = 1e12;

/** The series of one deployment, looked up once and kept. */
export class DeploymentSeries {
  readonly model: string;
  readonly provider: string;
  readonly #cells: MetricCells;
  readonly #genAi: readonly [operation: string, provider: string, model: string];
  readonly #kept = new Map<string, HistogramCell>();

  constructor(cells: MetricCells, { operation, provider }: ObservedDeployment, model: string) {
    this.#cells = cells;
    this.model = model;
    this.provider = provider.id;
    this.#genAi = [OPERATIONS[operation], provider.id, model];
  }

  attempt({ result, startedAt, endedAt, firstChunkMs }: AttemptFacts): void {
    const { numbers } = this.#cells;
    const error = result === 'ok' ? '' : result;
    observeIn(this.#histogram('gen_ai_client_operation_duration_seconds', error), (endedAt - startedAt) / MS);
    if (firstChunkMs !== null) observeIn(this.#histogram('gen_ai_client_operation_time_to_first_chunk_seconds', ''), firstChunkMs / MS);
    numbers.pura_attempts_total.at(this.provider, this.model, result).value++;
  }

  request(seconds: number, outcome: RequestOutcome, { ttftMs, usage }: RequestAnswer): void {
    observeIn(this.#histogram('gen_ai_server_request_duration_seconds', EDGE_ERRORS[outcome] ?? ''), seconds);
    if (ttftMs !== null) observeIn(this.#histogram('gen_ai_server_time_to_first_token_seconds', ''), ttftMs / MS);
    this.#usage(usage);
  }

  money(funding: string, { chargedMsat, costPicoUsd, providerCostPicoUsd }: RequestAnswer): void {
    const { numbers } = this.#cells;
    if (chargedMsat > 0n) numbers.pura_charges_msat_total.at(this.provider, this.model, funding).value += Number(chargedMsat);
    if (costPicoUsd > 0n) numbers.pura_cost_usd_total.at(this.provider, this.model, funding).value += Number(costPicoUsd) / PICO_PER_USD;
    if (providerCostPicoUsd > 0n)
      numbers.pura_provider_cost_usd_total.at(this.provider, this.model, funding).value += Number(providerCostPicoUsd) / PICO_PER_USD;
  }

  #usage({ input, cacheRead, cacheWrite, cacheWriteLong, output, reasoning }: ObservedUsage): void {
    if (input + output === 0) return;
    this.#tokens('input', input + cacheRead + cacheWrite + cacheWriteLong);
    this.#tokens('output', output);
    this.#tokens('cached_input', cacheRead);
    this.#tokens('cache_creation_input', cacheWrite + cacheWriteLong);
    this.#tokens('reasoning', reasoning);
  }

  #tokens(type: string, count: number): void {
    if (count > 0) observeIn(this.#histogram('gen_ai_client_token_usage', type), count);
  }

  #histogram(name: GenAiHistogram, last: string): HistogramCell {
    const key = name + last;
    let cell = this.#kept.get(key);
    if (!cell) this.#kept.set(key, (cell = this.#cells.histograms[name].at(...this.#genAi, last)));
    return cell;
  }
}

type GenAiHistogram = Extract<keyof MetricCells['histograms'], `gen_ai_${string}`>;
