import type { Config } from './config/config.ts';
import type { Gateway } from './gateway.ts';
import type { MetricsText } from './http/api/metrics.ts';
import { VERSION } from './http/api/status.ts';
import type { Holds } from './ledger/holds.ts';
import type { Wallet } from './lightning/wallet.ts';
import type { Logger } from './log.ts';
import type { Models } from './models/models.ts';
import type { Observe, ObservedDeployment } from './observation.ts';
import type { ExchangeRate } from './pricing/exchange-rate.ts';
import { btcUsdFromExchangeRate } from './amount.ts';
import type { Recorder } from './records/usage-record.ts';
import type { FleetHealth } from './routing/fleet-health.ts';
import { fanOut } from './telemetry/fan-out.ts';
import { logReader } from './telemetry/log-reader.ts';
import type { MetricSources } from './telemetry/metrics.ts';
import type { Traces } from './telemetry/traces.ts';

/** Who listens to what happens. */
export interface Observing {
  readonly observe: Observe;
  readonly readers: Observe[];
}

/** What metrics are made of beside what is observed. */
export interface Measured {
  readonly models: Models;
  readonly health: Pick<FleetHealth, 'doorOf'>;
  readonly exchangeRate: ExchangeRate;
  readonly wallet: Pick<Wallet, 'backend' | 'network'>;
  readonly holds: Pick<Holds, 'queued'>;
  readonly recorder: Pick<Recorder, 'waiting'>;
  readonly gateway: Pick<Gateway, 'streamsOpen'>;
  readonly logLinesDropped: () => number;
}

/** The log listens from the beginning; others join as soon as they can. */
export function startObserving(log: Logger): Observing {
  const readers = [logReader(log)];
  return { observe: fanOut(readers, log), readers };
}

/** Counts for `/metrics` from now on; undefined where nobody may read them, and nothing is counted. The library is loaded only then. */
export async function openMetrics({ readers }: Observing, config: Config, measured: Measured): Promise<MetricsText | undefined> {
  if (config.ADMIN_TOKEN.length === 0) return undefined;
  const { Metrics } = await import('./telemetry/metrics.ts');
  const { backend, network } = measured.wallet;
  const metrics = new Metrics({
    build: { version: VERSION, backend, network, serviceName: config.OTEL_SERVICE_NAME },
    isConfigured: (deployment) => isConfigured(measured.models, deployment),
    sources: sourcesOf(measured),
  });
  readers.push(metrics.read);
  return metrics;
}

/** Traces, where they have a place to go; undefined elsewhere, and nothing of OpenTelemetry is loaded. */
export async function openTraces({ readers }: Observing, config: Config): Promise<Traces | undefined> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_HEADERS: headers } = config;
  if (endpoint === undefined) return undefined;
  const { Traces: Reader } = await import('./telemetry/traces.ts');
  const { OTEL_SERVICE_NAME: serviceName, OTEL_TRACES_SAMPLER_ARG: share } = config;
  const traces = new Reader({ endpoint, headers, serviceName, version: VERSION, share });
  readers.push(traces.read);
  return traces;
}

/** Listed, or named by the operator as one that serves a model. */
function isConfigured(models: Models, { id, operation }: ObservedDeployment): boolean {
  if (models.list(operation).some((listed) => listed.id === id)) return true;
  return models.names().some((name) => models.serving(name, operation).some(({ deployment }) => deployment.id === id));
}

function sourcesOf({ models, health, exchangeRate, holds, recorder, gateway, logLinesDropped }: Measured): MetricSources {
  return {
    providers: () => {
      const listed = [...models.list('generate'), ...models.list('embed')];
      return models.providers.map(({ id }) => {
        const own = listed.filter(({ provider }) => provider.id === id);
        return { id, isAvailable: own.length === 0 || own.some((deployment) => health.doorOf(deployment).circuit !== 'open') };
      });
    },
    exchangeRate: () => rateOf(exchangeRate),
    queues: () => ({ hold: holds.queued, record: recorder.waiting }),
    streamsOpen: () => gateway.streamsOpen,
    logLinesDropped,
  };
}

function rateOf(exchangeRate: ExchangeRate): { btcUsd: number | null; ageSeconds: number } | null {
  const ageSeconds = exchangeRate.ageSeconds();
  if (ageSeconds === null) return null;
  try {
    return { btcUsd: btcUsdFromExchangeRate(exchangeRate.current()), ageSeconds };
  } catch {
    // Too old to be used: how old is what the operator must see.
    return { btcUsd: null, ageSeconds };
  }
}
