import type { Request, RequestHandler } from 'express';
import { formatUsd, picoUsd } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { Deployment } from '../../models/deployment.ts';
import type { Models } from '../../models/models.ts';
import type { OperatorSettings } from '../../operator/operator-settings.ts';
import { readProviderDay, type ProviderDay } from '../../operator/provider-day.ts';
import type { FleetHealth, HealthReport } from '../../routing/fleet-health.ts';
import type { HealthWindow } from '../../routing/traffic.ts';
import { count, milliseconds, percent, usd } from '../pages/format.ts';
import type { Pages } from '../pages/pages.ts';
import { doneBanners, type ActForm } from './act-form.ts';
import { sendAdmin } from './admin-frame.ts';
import type { Cell, Table } from './table.ts';

export interface ProviderPagesDeps {
  pool: Pool;
  reportPool: Pool;
  pages: Pages;
  models: Pick<Models, 'providers' | 'list'>;
  health: Pick<FleetHealth, 'report' | 'doorOf'>;
  settings: OperatorSettings;
}

const SECTION = '/admin/providers';
const WINDOWS: readonly HealthWindow[] = ['1m', '5m', '1h', '24h'];

/** Providers: how they do, what they cost today, and switching them off and on. */
export function providerPages(deps: ProviderPagesDeps): { list: RequestHandler; off: ActForm; on: ActForm } {
  const { pool, reportPool, pages, models, health, settings } = deps;
  return {
    async list(req, res) {
      const [today, banners] = await Promise.all([readProviderDay(reportPool), doneBanners(pool, req)]);
      const rows = models.providers.map(({ id, demo }) => ({
        id,
        demo,
        report: health.report(id),
        day: today.get(id),
        off: settings.off.has(id),
      }));
      const deployments = [...models.list('generate'), ...models.list('embed')];
      const tables = [providersTable(rows), modelsTable(deployments, health)];
      const intro =
        'A provider that is off is asked for nothing more under your key. Requests under way come to their end, and callers with a key of their own go on.';
      sendAdmin(pages, res, 'list', { title: 'Providers', section: SECTION, banners }, { intro, tables });
    },
    off: switching(deps, false),
    on: switching(deps, true),
  };
}

function switching({ models, settings }: ProviderPagesDeps, on: boolean): ActForm {
  const providerOf = (req: Request): string => {
    const found = models.providers.find(({ id }) => id === req.params['id']);
    if (!found) throw new GatewayError('not_found', { message: 'No such provider is configured.' });
    return found.id;
  };
  return {
    section: SECTION,
    describe: (req) =>
      Promise.resolve({
        title: `Switch ${providerOf(req)} ${on ? 'on' : 'off'}`,
        consequence: on
          ? 'It is asked again, by every gateway of this database.'
          : 'No gateway of this database asks it any more, over restarts too. What it alone serves is a 503 until then.',
        facts: [
          ['Provider', providerOf(req)],
          ['Now', settings.off.has(providerOf(req)) ? 'off' : 'on'],
        ],
        verb: on ? 'Switch on' : 'Switch off',
        danger: !on,
        back: SECTION,
      }),
    perform: (req, act) => settings.switchProvider(act, providerOf(req), on),
  };
}

interface ProviderRow {
  id: string;
  demo: boolean;
  report: HealthReport;
  day: ProviderDay | undefined;
  off: boolean;
}

function providersTable(rows: readonly ProviderRow[]): Table {
  return {
    id: 'providers',
    caption: 'Providers; success and latency of 1 m, 5 m, 1 h, 24 h',
    columns: [
      { name: 'Provider' },
      { name: 'State' },
      { name: 'On or off' },
      { name: 'Success', n: true },
      { name: 'Latency', n: true },
      { name: 'Errors of the last hour' },
      { name: 'Charged today', n: true },
      { name: 'Free today', n: true },
    ],
    rows: rows.map(({ id, demo, report, day, off }) => ({
      cells: [
        { text: demo ? `${id}, not a real model` : id },
        stateCell(off, report),
        { text: off ? 'Switch on…' : 'Switch off…', href: `${SECTION}/${encodeURIComponent(id)}/${off ? 'on' : 'off'}` },
        { text: WINDOWS.map((window) => percent(report.windows[window].successRate)).join(' · ') },
        { text: WINDOWS.map((window) => milliseconds(report.windows[window].latencyMs)).join(' · ') },
        { text: errorsText(day) },
        { text: usd(day?.chargedPicoUsd ?? picoUsd(0n)) },
        { text: usd(day?.freePicoUsd ?? picoUsd(0n)) },
      ],
    })),
    empty: 'No provider is configured.',
  };
}

function stateCell(off: boolean, { status }: HealthReport): Cell {
  if (off) return { text: 'off', tone: 'warn' };
  return status === 'degraded' ? { text: status, tone: 'bad' } : { text: status };
}

function errorsText(day: ProviderDay | undefined): string {
  const errors = Object.entries(day?.errorsLastHour ?? {});
  return errors.length === 0 ? 'none' : errors.map(([kind, times]) => `${kind} ${count(times)}`).join(', ');
}

function modelsTable(deployments: readonly Deployment[], health: Pick<FleetHealth, 'doorOf'>): Table {
  return {
    id: 'models',
    caption: 'Models, with their prices per million tokens',
    heading: true,
    columns: [
      { name: 'Deployment' },
      { name: 'Tier' },
      { name: 'Input', n: true },
      { name: 'Output', n: true },
      { name: 'Cached', n: true },
      { name: 'Circuit' },
    ],
    rows: deployments.map((deployment) => {
      const { circuit } = health.doorOf(deployment);
      const { rateCard } = deployment;
      return {
        cells: [
          { text: deployment.id },
          { text: deployment.tier },
          { text: perMillion(rateCard.input) },
          { text: perMillion(rateCard.output) },
          { text: perMillion(rateCard.cacheRead) },
          circuit === 'closed' ? { text: circuit } : { text: circuit, tone: 'bad' as const },
        ],
      };
    }),
    empty: 'No model is on offer.',
  };
}

function perMillion(picoUsdPerToken: bigint): string {
  return `$${formatUsd(picoUsd(picoUsdPerToken * 1_000_000n))}`;
}
