import { collectDefaultMetrics, Registry } from 'prom-client';
import type {
  AttemptFacts,
  BatchFacts,
  HttpFacts,
  LossReason,
  Observation,
  ObservedDeployment,
  ObservedKind,
  RequestFacts,
  Span,
} from '../observation.ts';
import { observeIn } from './cells.ts';
import { DeploymentSeries } from './deployment-series.ts';
import { beginKnownSeries } from './known-series.ts';
import { LevelGauges } from './level-gauges.ts';
import { registerCells, type MetricCells } from './metric-cells.ts';
import { ModelLabels, OTHER } from './model-labels.ts';

/** What is not observed but asked for at every scrape. */
export interface MetricSources {
  providers(): readonly { readonly id: string; readonly isAvailable: boolean }[];
  /** Null where none was ever known; `btcUsd` where it is too old to be used. */
  exchangeRate(): { readonly btcUsd: number | null; readonly ageSeconds: number } | null;
  /** Rows that wait, by kind. */
  queues(): Readonly<Record<string, number>>;
  streamsOpen(): number;
  logLinesDropped(): number;
}

export interface MetricsOptions {
  readonly build: { readonly version: string; readonly backend: string; readonly network: string; readonly serviceName: string };
  /** Whether a deployment is one of the operator's configuration, and not a client's own idea. */
  readonly isConfigured: (deployment: ObservedDeployment) => boolean;
  readonly sources: MetricSources;
  /** Of `performance.now()`, and Unix milliseconds. */
  readonly now?: () => number;
  readonly wallNow?: () => number;
  /** The process's own figures beside those of the gateway. */
  readonly ofProcess?: boolean;
}

/** What is done about each kind that moves a metric. */
type Counting = { readonly [Kind in ObservedKind]?: (one: Observation<Kind>) => void };

/** The version of OpenTelemetry's conventions whose names are told. */
const GEN_AI_CONVENTIONS = '1.41.0';
/** HTTP's own methods; a client may write any word. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const INVARIANTS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const MOST_PROVIDERS = 16;
const MS = 1000;

/** Makes metrics of what is observed. No label is a word of a client's: the number of series is bounded by the configuration. */
export class Metrics {
  readonly #options: MetricsOptions;
  readonly #registry = new Registry();
  readonly #cells: MetricCells;
  readonly #labels: ModelLabels;
  readonly #deployments = new Map<string, DeploymentSeries>();
  readonly #providers = new Set<string>();
  readonly #levels: LevelGauges;
  readonly #counting: Counting;

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#cells = registerCells(this.#registry);
    beginKnownSeries(this.#cells);
    this.#counting = this.#countingOf(this.#cells);
    this.#levels = new LevelGauges(this.#cells, options.now);
    this.#labels = new ModelLabels(options.isConfigured);
    if (options.ofProcess !== false) collectDefaultMetrics({ register: this.#registry });
    const { version, backend, network, serviceName } = options.build;
    const { numbers } = this.#cells;
    numbers.pura_build_info.at(version, backend, network).value = 1;
    numbers.target_info.at(serviceName, version, GEN_AI_CONVENTIONS).value = 1;
    for (const name of [
      'pura_lightning_up',
      'pura_watcher_progress_timestamp_seconds',
      'pura_audit_last_success_timestamp_seconds',
    ] as const)
      numbers[name].at().value = NaN;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All of it, as Prometheus reads it. */
  text(): Promise<string> {
    this.#ask();
    return this.#registry.metrics();
  }

  /** Counts what was observed. */
  readonly read = (one: Observation): void => {
    const count = this.#counting[one.kind] as ((observed: Observation) => void) | undefined;
    count?.(one);
  };

  #countingOf({ numbers, histograms }: MetricCells): Counting {
    return {
      request: (one) => this.#request(one),
      attempt: (one) => this.#attempt(one),
      http_began: ({ method }) => void numbers.http_server_active_requests.at(methodOf(method)).value++,
      http: (one) => this.#http(one),
      refusal: ({ limit }) => void numbers.pura_refusals_total.at(limit).value++,
      ledger_batch: (one) => this.#batch(one.lane ? 'lane' : 'hold', one, one.verdicts),
      record_batch: (one) => this.#batch('record', one),
      record_dropped: () => void numbers.pura_records_lost_total.at().value++,
      records_not_written: ({ records }) => void (numbers.pura_records_lost_total.at().value += records === 1 ? 1 : 0),
      dead_gateway_refunded: ({ refundedMsat }) => this.#loss('crash', refundedMsat),
      stored_answers_refunded: ({ refundedMsat }) => this.#loss('crash', refundedMsat),
      audit: ({ violations }) => {
        for (const invariant of INVARIANTS) numbers.pura_audit_violations.at(String(invariant)).value = violations.get(invariant) ?? 0;
        numbers.pura_audit_last_success_timestamp_seconds.at().value = this.#unixSeconds();
      },
      deposit: ({ via, receivedMsat, settledAt }) => {
        numbers.pura_deposits_msat_total.at(via).value += Number(receivedMsat);
        if (settledAt) observeIn(histograms.pura_credit_delay_seconds.at(), Math.max(0, this.#unixSeconds() - settledAt.getTime() / MS));
      },
      withdrawal_above_limit: ({ feeMsat, feeLimitMsat }) => this.#loss('fee', feeMsat - feeLimitMsat),
      withdrawal_paid: ({ amountMsat, feeMsat }) => {
        numbers.pura_withdrawn_msat_total.at().value += Number(amountMsat);
        numbers.pura_withdrawal_fees_msat_total.at().value += Number(feeMsat);
      },
      lightning_call: ({ call, result, ...span }) => observeIn(histograms.pura_lightning_call_seconds.at(call, result), secondsOf(span)),
      lightning_state: ({ isUp }) => void (numbers.pura_lightning_up.at().value = isUp ? 1 : 0),
      watcher_progress: () => void (numbers.pura_watcher_progress_timestamp_seconds.at().value = this.#unixSeconds()),
      autopay: ({ result }) => void numbers.pura_autopay_attempts_total.at(result).value++,
      lnurl_request: ({ tag, result }) => void numbers.pura_lnurl_requests_total.at(tag, result).value++,
      sign_in: ({ how, result }) => void numbers.pura_sign_ins_total.at(how, result).value++,
      price_asked: ({ source, result }) => void numbers.pura_price_answers_total.at(source, result).value++,
      levels: (one) => this.#levels.keep(one),
    };
  }

  #request(one: RequestFacts): void {
    const { numbers, histograms } = this.#cells;
    const { surface, funding, outcome, code, answer, plan } = one;
    numbers.pura_requests_total.at(surface, funding ?? '', outcome, code ?? '').value++;
    const seconds = (one.endedAt - one.startedAt) / MS;
    if (plan?.isRouted && plan.chosen)
      numbers.pura_router_choices_total.at(plan.tier ?? '', this.#series(plan.chosen).model, String(plan.explored)).value++;
    if (one.attempts.length > 0) {
      const upstreamMs = one.attempts.reduce((sum, { startedAt, endedAt }) => sum + endedAt - startedAt, 0);
      observeIn(histograms.pura_overhead_seconds.at(surface), Math.max(0, seconds - upstreamMs / MS));
    }
    if (!answer) return;
    for (const [reason, amountMsat] of Object.entries(answer.losses) as [LossReason, bigint][]) this.#loss(reason, amountMsat);
    if (!answer.deployment) return;
    const series = this.#series(answer.deployment);
    series.request(seconds, outcome, answer);
    series.money(funding ?? '', answer);
  }

  #attempt(one: AttemptFacts): void {
    this.#series(one.deployment).attempt(one);
    if (one.after) {
      const [from, to] = [this.#series(one.after).provider, this.#series(one.deployment).provider];
      this.#cells.numbers.pura_fallbacks_total.at(from, to).value++;
    }
  }

  #http({ method, route, status, scheme, code, startedAt, endedAt }: HttpFacts): void {
    const { numbers, histograms } = this.#cells;
    const name = methodOf(method);
    numbers.http_server_active_requests.at(name).value--;
    const error = status >= 500 ? (code ?? String(status)) : '';
    const cell = histograms.http_server_request_duration_seconds.at(name, route, String(status), scheme, error);
    observeIn(cell, (endedAt - startedAt) / MS);
  }

  #batch(kind: string, batch: BatchFacts, verdicts: readonly unknown[] = []): void {
    const { numbers, histograms } = this.#cells;
    observeIn(histograms.pura_ledger_batch_seconds.at(kind), secondsOf(batch));
    observeIn(histograms.pura_ledger_batch_rows.at(kind), batch.rows.length);
    for (const verdict of verdicts) numbers.pura_ledger_verdicts_total.at(verdictOf(verdict)).value++;
  }

  #loss(reason: LossReason, amountMsat: bigint): void {
    if (amountMsat > 0n) this.#cells.numbers.pura_house_loss_msat_total.at(reason).value += Number(amountMsat);
  }

  #series(deployment: ObservedDeployment): DeploymentSeries {
    const { id, provider } = deployment;
    const kept = this.#deployments.get(id);
    if (kept) return kept;
    const model = this.#labels.of(deployment);
    const ofProvider = this.#providerOf(provider.id);
    const series = new DeploymentSeries(this.#cells, { ...deployment, provider: { id: ofProvider } }, model);
    // What has no label of its own is not kept: there is no end to the names that it may have.
    if (model !== OTHER) this.#deployments.set(id, series);
    return series;
  }

  #providerOf(id: string): string {
    if (this.#providers.has(id)) return id;
    if (this.#providers.size >= MOST_PROVIDERS) return OTHER;
    this.#providers.add(id);
    return id;
  }

  /** Asks for what is not observed. */
  #ask(): void {
    const { sources } = this.#options;
    const { numbers } = this.#cells;
    numbers.pura_provider_available.clear();
    for (const { id, isAvailable } of sources.providers().slice(0, MOST_PROVIDERS))
      numbers.pura_provider_available.at(id).value = isAvailable ? 1 : 0;
    const rate = sources.exchangeRate();
    numbers.pura_exchange_rate_usd.at().value = rate?.btcUsd ?? NaN;
    numbers.pura_exchange_rate_age_seconds.at().value = rate?.ageSeconds ?? NaN;
    for (const [kind, rows] of Object.entries(sources.queues())) numbers.pura_ledger_queue.at(kind).value = rows;
    numbers.pura_streams_open.at().value = sources.streamsOpen();
    numbers.pura_log_lines_dropped_total.at().value = sources.logLinesDropped();
    this.#levels.tell();
  }

  #unixSeconds(): number {
    return (this.#options.wallNow ?? Date.now)() / MS;
  }
}

function secondsOf({ startedAt, endedAt }: Span): number {
  return (endedAt - startedAt) / MS;
}

function methodOf(method: string): string {
  return METHODS.has(method) ? method : '_OTHER';
}

/** A verdict's word; `busy` where its account was locked. */
function verdictOf(verdict: unknown): string {
  return typeof verdict === 'object' && verdict !== null && 'verdict' in verdict ? String(verdict.verdict) : 'busy';
}
