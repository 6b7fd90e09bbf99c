import type { RequestHandler } from 'express';
import { btcUsdFromExchangeRate } from '../../amount.ts';
import type { Config } from '../../config/config.ts';
import { VARIABLE_NAMES } from '../../config/environment.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import { LOG_LEVELS, type LogLevel, type OperatorSettings } from '../../operator/operator-settings.ts';
import { readFreeTier, readSystem, type FreeTierFacts, type SystemFacts } from '../../operator/system.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { stackedBars } from '../pages/charts.ts';
import { count, percent, span, time, usd } from '../pages/format.ts';
import type { Pages } from '../pages/pages.ts';
import { doneBanners, type ActForm } from './act-form.ts';
import { sendAdmin } from './admin-frame.ts';
import type { Table, TableRow } from './table.ts';

export interface SystemPagesDeps {
  pool: Pool;
  reportPool: Pool;
  pages: Pages;
  wallet: Pick<Wallet, 'backend' | 'network' | 'nodeId'>;
  exchangeRate: Pick<ExchangeRate, 'current' | 'source'>;
  settings: OperatorSettings;
  version: string;
  config: Config;
}

const SYSTEM = '/admin/system';
const FREE = '/admin/free-tier';
const AS_CONFIGURED = 'as configured';
const LARGEST = 20;
/** What is shown of the configuration besides its names: no secret, no address, no path. */
const PLAIN = new Set<string>([
  'LIGHTNING_BACKEND',
  'BTC_USD_MAX_AGE_SECONDS',
  'FREE_TIER_REQUESTS',
  'INVOICE_EXPIRY_SECONDS',
  'L402_TOKEN_DAYS',
  'WITHDRAWALS',
  'WITHDRAW_MAX_FEE_PERCENT',
  'RATE_LIMIT_RPM',
  'RATE_LIMIT_TPM',
  'OPEN_STREAMS_PER_ACCOUNT',
  'KEYS_PER_IP_PER_HOUR',
  'KEYLESS_INVOICES_PER_IP_PER_HOUR',
  'TOPUP_DEFAULT_SATS',
  'BODY_LIMIT_MB',
  'DEFAULT_MAX_TOKENS',
  'UPSTREAM_TIMEOUT_SECONDS',
  'STREAM_MAX_SECONDS',
  'SHUTDOWN_GRACE_SECONDS',
  'HOLD_LEASE_SECONDS',
  'PUBLIC_URL',
  'CONTACT',
  'LOG_LEVEL',
]);

/** The installation, the log's level, and the free tier. */
export function systemPages(deps: SystemPagesDeps): { system: RequestHandler; freeTier: RequestHandler; logLevel: ActForm } {
  const { pool, reportPool, pages, settings, config } = deps;
  return {
    async system(req, res) {
      const [facts, banners] = await Promise.all([readSystem(reportPool), doneBanners(pool, req)]);
      const data = {
        actions: [{ href: `${SYSTEM}/log-level`, name: 'Log level…' }],
        tables: [factsTable(deps, facts), instancesTable(facts), configTable(config)],
      };
      sendAdmin(pages, res, 'list', { title: 'System', section: SYSTEM, banners }, data);
    },

    async freeTier(_req, res) {
      const facts = await readFreeTier(reportPool, LARGEST);
      const ceiling = config.FREE_TIER_GLOBAL_DAILY_USD;
      const taken = facts.spentPicoUsd + facts.reservedPicoUsd;
      const isUsedUp = taken >= ceiling;
      const data = {
        facts,
        ceiling,
        part: ceiling === 0n ? 1 : Math.min(1, Number(taken) / Number(ceiling)),
        left: span(facts.resetsAt.getTime() - Date.now()),
        isUsedUp,
        percent: ceiling === 0n ? '' : percent(Number(taken) / Number(ceiling)),
        requests: config.FREE_TIER_REQUESTS,
        chart: newAccountsChart(facts),
        table: largestTable(facts),
      };
      const banners = isUsedUp ? [{ kind: 'warn' as const, text: `The free requests of today are used up, for ${data.left} more.` }] : [];
      sendAdmin(pages, res, 'free-tier', { title: 'Free tier', section: FREE, banners }, data);
    },

    logLevel: {
      section: SYSTEM,
      fields: [{ name: 'level', label: 'Level', options: [AS_CONFIGURED, ...LOG_LEVELS] }],
      describe: () =>
        Promise.resolve({
          title: 'Set the log level',
          consequence: 'Of every gateway of this database, over restarts too, until it is set back to what is configured.',
          facts: [
            ['Now', settings.logLevel],
            ['Configured', config.LOG_LEVEL],
          ],
          verb: 'Set',
          back: SYSTEM,
        }),
      perform: (_req, act, { level = '' }) => settings.setLogLevel(act, levelIn(level)),
    },
  };
}

function levelIn(text: string): LogLevel | null {
  if (text === AS_CONFIGURED) return null;
  const level = LOG_LEVELS.find((each) => each === text);
  if (!level) throw new GatewayError('invalid_request', { message: 'There is no such level.', param: 'level' });
  return level;
}

function fact(name: string, value: string): TableRow {
  return { cells: [{ text: name }, { text: value }] };
}

const FACT_COLUMNS = [{ name: 'What' }, { name: 'Value' }];

function factsTable({ version, wallet, exchangeRate, settings }: SystemPagesDeps, facts: SystemFacts): Table {
  const { holds, migrations } = facts;
  const oldest = holds.oldestSeconds === null ? '' : `, the oldest for ${span(holds.oldestSeconds * 1000)}`;
  return {
    id: 'system',
    caption: 'The installation',
    columns: FACT_COLUMNS,
    rows: [
      fact('Version', version),
      fact('Migrations', `${count(migrations.count)}, the newest ${migrations.newest}`),
      fact('PostgreSQL', `${facts.database}, ${count(facts.sizeBytes / 1_048_576n)} MiB, ${count(facts.connections)} connections`),
      fact('Lightning', `${wallet.backend} on ${wallet.network}, node ${wallet.nodeId}`),
      fact('Exchange rate', rateText(exchangeRate)),
      fact('Log level', settings.logLevel),
      fact('Requests under way', `${count(holds.pending)} holds${oldest}`),
      fact('Invoices to be checked now', count(facts.invoicesDue)),
      fact('Withdrawals under way', count(facts.withdrawalsPending)),
      fact('Orphans', count(facts.orphans)),
    ],
    empty: '',
  };
}

function rateText(exchangeRate: Pick<ExchangeRate, 'current' | 'source'>): string {
  try {
    return `1 BTC = ${usd(btcUsdFromExchangeRate(exchangeRate.current()))}, ${exchangeRate.source}`;
  } catch {
    return `none of now, ${exchangeRate.source}`;
  }
}

function instancesTable({ instances }: SystemFacts): Table {
  return {
    id: 'instances',
    caption: 'Gateways of this database',
    heading: true,
    columns: [{ name: 'Gateway' }, { name: 'Last beat' }, { name: 'Ago', n: true }],
    rows: instances.map(({ id, beatAt, ageSeconds }) => ({
      gone: ageSeconds > 30,
      cells: [{ text: id, mono: true }, { html: time(beatAt) }, { text: span(ageSeconds * 1000) }],
    })),
    empty: 'No gateway has told of itself.',
  };
}

/** By name; values of secrets never, and of others only those that say nothing of the machine. */
function configTable(config: Config): Table {
  const values: Record<string, unknown> = { ...config, SECRET_KEY: config.secretKeys };
  return {
    id: 'config',
    caption: 'Configuration',
    heading: true,
    columns: FACT_COLUMNS,
    rows: VARIABLE_NAMES.map((name) => fact(name, PLAIN.has(name) ? valueText(values[name]) : isSet(values[name]) ? 'set' : 'not set')),
    empty: '',
  };
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0);
}

function valueText(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  return isSet(value) ? 'set' : 'not set';
}

function newAccountsChart({ newAccounts }: FreeTierFacts): string {
  return stackedBars({
    id: 'new-accounts',
    title: 'New accounts by hour',
    bucket: 'Hour (UTC)',
    buckets: newAccounts.map(({ hour }) => hour.toISOString().slice(11, 16)),
    series: [{ name: 'New accounts', values: newAccounts.map(({ accounts }) => accounts) }],
    format: count,
  });
}

function largestTable({ largest }: FreeTierFacts): Table {
  return {
    id: 'largest',
    caption: 'Who took most of it today',
    heading: true,
    columns: [{ name: 'Account' }, { name: 'Today', n: true }, { name: 'Free requests used', n: true }, { name: 'State' }],
    rows: largest.map(({ accountId, spentPicoUsd, freeUsed, frozen }) => ({
      cells: [
        { text: accountId, href: `/admin/accounts/${accountId}`, mono: true },
        { text: usd(spentPicoUsd) },
        { text: count(freeUsed) },
        frozen ? { text: 'frozen', tone: 'warn' as const } : { text: 'live' },
      ],
    })),
    empty: 'Nobody has taken any today.',
  };
}
