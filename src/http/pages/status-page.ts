import type { RequestHandler } from 'express';
import { HEALTH_WINDOWS, type HealthWindow } from '../../routing/traffic.ts';
import type { AuditRow, DeploymentRow, ProviderRow, RateRow, StatusReport, VisibleRates } from '../../status-report.ts';
import { span } from './format.ts';
import type { Pages } from './pages.ts';

export interface StatusPageDeps {
  /** What `/api/status` tells. */
  report: () => Promise<StatusReport>;
  pages: Pages;
}

type Known = Exclude<ProviderRow['status'], 'unconfigured'>;

const STATES: Record<Known, string> = { active: 'Active', degraded: 'Degraded', idle: 'Idle: no traffic in 5 minutes' };
const SPANS: Record<HealthWindow, string> = { '1m': '1 min', '5m': '5 min', '1h': '1 h', '24h': '24 h' };
const BACKENDS: Record<StatusReport['lightning']['backend'], string> = {
  lnd: 'LND',
  nwc: 'Nostr Wallet Connect',
  simulated: 'simulated (play money)',
};
const RATE_SOURCES: Record<StatusReport['exchangeRate']['source'], string> = {
  live: 'from public price sources',
  fixed: 'fixed by the operator',
  simulated: 'simulated: made up, as the sats are',
};
const CIRCUITS: Record<DeploymentRow['circuit'], string | null> = {
  closed: null,
  open: 'circuit open, it is left alone for a moment',
  'half-open': 'circuit half open, it is being tried again',
};

const names = new Intl.ListFormat('en-US');
const figure = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });
const weight = new Intl.NumberFormat('en-US', { maximumFractionDigits: 3 });
const dollars = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', maximumFractionDigits: 0 });

/** The page that tells everybody, without a key, how the gateway does. */
export function statusPageHandler({ report, pages }: StatusPageDeps): RequestHandler {
  return async (_req, res) => {
    const data = pageData(await report());
    pages.send(res, 'status', { title: data.sentence.text, script: 'status.js' }, data);
  };
}

function pageData(report: StatusReport) {
  const { lightning, capacity } = report;
  const configured = report.providers.filter((provider) => provider.configured);
  const sentence = sentenceOf(report, configured);
  const at = new Date();
  return {
    sentence,
    at,
    build: report.version,
    providers: configured.map(providerData),
    unconfigured: report.providers.filter((provider) => !provider.configured).map(({ id }) => id),
    lightning: {
      backend: BACKENDS[lightning.backend],
      network: lightning.network,
      state: lightningState(lightning),
      ready: lightning.ready,
    },
    rate: rateText(report.exchangeRate),
    audit: auditData(report.audit, at),
    capacity: {
      source: capacitySource(capacity),
      // Where all are alike there is nothing to list.
      weights:
        capacity.source === 'equal' ? [] : Object.entries(capacity.weights).map(([id, share]) => ({ id, weight: weight.format(share) })),
    },
  };
}

/** How all is, in one line: what is wrong by name, and nothing said of providers that nobody asked lately. */
function sentenceOf({ lightning, exchangeRate, audit }: StatusReport, configured: readonly ProviderRow[]) {
  const degraded = configured.filter(({ status }) => status === 'degraded').map(({ id }) => id);
  const trouble = [
    ...(lightning.ready ? [] : ['Lightning is not ready']),
    ...(exchangeRate.btcUsd === null ? ['No exchange rate is known'] : []),
    ...(audit?.sound === false ? ['The last audit found the ledger unsound'] : []),
  ];
  const isWrong = configured.length === 0 || degraded.length > 0 || trouble.length > 0;
  const isQuiet = configured.every(({ status }) => status === 'idle');
  const said = [
    degraded.length > 0 ? `${names.format(degraded)} ${degraded.length > 1 ? 'are' : 'is'} degraded` : providersSentence(configured),
    ...trouble,
  ];
  return { text: said.join('. '), state: isWrong ? 'degraded' : isQuiet ? 'idle' : 'active' };
}

function providersSentence(configured: readonly ProviderRow[]): string {
  if (configured.length === 0) return 'No provider is configured';
  const active = configured.filter(({ status }) => status === 'active').length;
  if (active === 0) return 'No traffic in the last 5 minutes';
  return active === configured.length ? 'All providers answer' : 'All providers that were asked lately answer';
}

function providerData({ id, demo, status, windows, deployments }: ProviderRow) {
  const state = status === 'unconfigured' ? 'idle' : status;
  return {
    id,
    demo,
    state,
    stateText: STATES[state],
    rows: (Object.keys(HEALTH_WINDOWS) as HealthWindow[]).map((window) => ({ span: SPANS[window], cells: cellsOf(windows[window]) })),
    hasDeployments: deployments.length > 0,
    troubled: deployments.flatMap((deployment) => {
      const trouble = troubleOf(deployment);
      return trouble === '' ? [] : [{ id: deployment.id, trouble }];
    }),
  };
}

/** Null where there is nothing to tell. */
function cellsOf({ successRate, latencyMs, ttftMs, tokensPerSecond }: VisibleRates): (string | null)[] {
  return [
    // Never rounded up: 100% is all of them.
    successRate === null ? null : `${figure.format(Math.floor(successRate * 1000) / 10)}%`,
    duration(latencyMs),
    duration(ttftMs),
    tokensPerSecond === null ? null : figure.format(tokensPerSecond),
  ];
}

function duration(ms: number | null): string | null {
  if (ms === null) return null;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${figure.format(ms / 1000)} s`;
}

function troubleOf({ circuit, pausedUntil }: DeploymentRow): string {
  return [CIRCUITS[circuit], pausedUntil && `paused until ${utc(pausedUntil)}, as its provider asked`].filter(Boolean).join('; ');
}

function lightningState({ ready, reason }: StatusReport['lightning']): string {
  return ready ? 'Ready' : `Not ready: ${reason ?? 'no reason is known'}`;
}

function rateText({ btcUsd, source, sources, ageSeconds }: RateRow): string {
  const from = sources.length === 0 ? RATE_SOURCES[source] : `of ${names.format(sources)}`;
  // An operator's own rate and a made-up one do not age.
  const age = source !== 'live' || ageSeconds === null ? '' : `, ${span(ageSeconds * 1000)} old`;
  const price =
    btcUsd === null ? 'None is young enough: nothing can be priced now, and nothing is charged' : `1 BTC = ${dollars.format(btcUsd)}`;
  return `${price} (${from}${age})`;
}

function auditData(audit: AuditRow | null, now: Date) {
  if (audit === null) return { state: 'idle', text: 'No audit is known' };
  const ago = `${span(now.getTime() - Date.parse(audit.at))} ago`;
  return audit.sound ? { state: 'active', text: `Sound, ${ago}` } : { state: 'degraded', text: `Unsound, ${ago}` };
}

function capacitySource({ source, chainId, updatedAt, stale, reason }: StatusReport['capacity']): string {
  const why = reason === null ? '' : `: ${reason}`;
  if (source === 'equal') return `Equal${why}`;
  if (source === 'configured') return `Set by the operator${why}`;
  const read = updatedAt === null ? '' : `, read ${utc(updatedAt)}`;
  return `Units of a Superfluid pool on chain ${chainId}${read}${stale ? `. Stale${why}` : why}`;
}

/** A moment as people read it, from ISO 8601. */
function utc(iso: string): string {
  return iso.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC');
}
