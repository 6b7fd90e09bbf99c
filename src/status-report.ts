import { btcUsdFromExchangeRate } from './amount.ts';
import type { CapacityStatus } from './capacity/capacity-weights.ts';
import type { Wallet } from './lightning/wallet.ts';
import type { Deployment } from './models/deployment.ts';
import type { Models } from './models/models.ts';
import { rateOrNull, type ExchangeRate } from './pricing/exchange-rate.ts';
import type { CircuitPhase } from './routing/circuit.ts';
import type { FleetHealth, HealthReport } from './routing/fleet-health.ts';
import { rounded } from './routing/score.ts';
import type { Rates } from './routing/tally.ts';
import { byWindow, type Windows } from './routing/traffic.ts';

/** What everybody may know of how the gateway does: as JSON at `/api/status`, as a page at `/status`. */
export interface StatusReport {
  readonly version: string;
  readonly providers: readonly ProviderRow[];
  readonly lightning: Pick<Wallet, 'backend' | 'network'> & { readonly ready: boolean; readonly reason?: string };
  readonly exchangeRate: RateRow;
  /** How the last audit of the ledger went, as far as this process knows; null where it knows of none. */
  readonly audit: AuditRow | null;
  readonly capacity: CapacityStatus;
}

export interface RateRow {
  /** Null where no rate is young enough to be used. */
  readonly btcUsd: number | null;
  readonly source: ExchangeRate['source'];
  /** The public price sources that gave the last rate. */
  readonly sources: readonly string[];
  /** Whole seconds; null where there was no rate yet. */
  readonly ageSeconds: number | null;
}

export interface AuditRow {
  /** ISO 8601. */
  readonly at: string;
  readonly sound: boolean;
}

export interface ProviderRow {
  readonly id: string;
  readonly configured: boolean;
  readonly demo: boolean;
  readonly status: HealthReport['status'] | 'unconfigured';
  readonly windows: Windows<VisibleRates>;
  readonly deployments: readonly DeploymentRow[];
}

export interface DeploymentRow {
  readonly id: string;
  readonly circuit: CircuitPhase;
  /** ISO 8601; null where no pause is asked for. */
  readonly pausedUntil: string | null;
}

export type VisibleRates = Omit<Rates, 'requests'>;

type Health = Pick<FleetHealth, 'report' | 'doorOf'>;

/** The rows of all providers: those that are configured first, then those that could be. */
export function providerRows(models: Pick<Models, 'providers' | 'list'>, known: readonly string[], health: Health): ProviderRow[] {
  const configured = new Map(models.providers.map((provider) => [provider.id, provider]));
  const ids = [...configured.keys(), ...known.filter((id) => !configured.has(id))];
  const listed = [...models.list('generate'), ...models.list('embed')];
  return ids.map((id) => {
    const provider = configured.get(id);
    const { status, windows } = health.report(id);
    return {
      id,
      configured: provider !== undefined,
      demo: provider?.demo ?? false,
      status: provider ? status : ('unconfigured' as const),
      windows: byWindow((window) => withoutRequests(windows[window])),
      deployments: listed.filter((deployment) => deployment.provider.id === id).map((deployment) => deploymentRow(deployment, health)),
    };
  });
}

/** How many requests there were is nobody's business. */
function withoutRequests({ successRate, latencyMs, ttftMs, tokensPerSecond }: Rates): VisibleRates {
  return { successRate: successRate === null ? null : rounded(successRate), latencyMs, ttftMs, tokensPerSecond };
}

function deploymentRow(deployment: Deployment, health: Health): DeploymentRow {
  const { circuit, pausedUntil } = health.doorOf(deployment);
  return { id: deployment.id, circuit, pausedUntil: pausedUntil === null ? null : new Date(pausedUntil).toISOString() };
}

/** The rate and where it comes from. */
export function rateRow(exchangeRate: ExchangeRate): RateRow {
  const { source, sources } = exchangeRate;
  const current = rateOrNull(exchangeRate);
  const ageSeconds = exchangeRate.ageSeconds();
  return {
    btcUsd: current === null ? null : btcUsdFromExchangeRate(current),
    source,
    sources,
    ageSeconds: ageSeconds === null ? null : Math.floor(ageSeconds),
  };
}
