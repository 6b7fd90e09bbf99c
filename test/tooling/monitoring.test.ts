import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { ERRORS } from '../../src/errors.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import { METRICS } from '../../src/telemetry/metric-table.ts';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const MONITORING = path.join(PROJECT, 'monitoring');
const read = (name: string) => readFileSync(path.join(PROJECT, name), 'utf8');

interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  labels?: { severity?: string };
  annotations?: { runbook?: string; summary?: string };
}
interface Panel {
  type: string;
  title: string;
  targets?: { expr: string }[];
}

const rules = (parse(read('monitoring/pura-rules.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);
const alerts = rules.filter(({ alert }) => alert !== undefined);
const panels = (JSON.parse(read('monitoring/pura-dashboard.json')) as { panels: Panel[] }).panels;
const shown = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

/** Every alert: how it is told, and its place in docs/operating.md. */
const ALERTS: Record<string, [anchor: string, severities: string[]]> = {
  LedgerUnsound: ['ledger-unsound', ['page']],
  AuditStale: ['audit-stale', ['page', 'ticket']],
  GatewayDown: ['gateway-down', ['page']],
  DatabaseAway: ['database-away', ['page']],
  ErrorBudget: ['error-budget', ['page', 'page', 'ticket']],
  ProvidersDown: ['providers-down', ['page']],
  RateStale: ['rate-stale', ['page', 'ticket']],
  LightningDown: ['lightning-down', ['page']],
  NotCredited: ['paid-not-credited', ['page']],
  CannotPayOut: ['cannot-pay-out', ['page', 'ticket']],
  CannotReceive: ['cannot-receive', ['page', 'ticket']],
  WithdrawalStuck: ['withdrawal-stuck', ['page']],
  LedgerSlow: ['ledger-slow', ['page']],
  HoldsOld: ['holds-old', ['page']],
  HouseLoss: ['house-loss', ['ticket']],
  MarginNegative: ['margin', ['ticket']],
  FreeTierRun: ['free-tier', ['ticket']],
  Orphans: ['orphans', ['ticket']],
  RecordsLost: ['records-lost', ['ticket']],
  AutopayFailing: ['autopay', ['ticket']],
  AdminGuessing: ['admin-guessing', ['page']],
  Host: ['host', ['ticket', 'ticket', 'ticket', 'ticket']],
};
const ROWS = [
  'Now',
  'Money',
  'Requests',
  'Latency',
  'Providers and router',
  'Lightning',
  'Ledger and database',
  'Free tier and refusals',
  'Process',
];
/** Of Prometheus itself, and of the exporters beside the gateway. */
const OF_OTHERS = /^(?:up|node_\w+|probe_\w+|pura:own_errors:\w+)$/;

describe('the alerts', () => {
  it('are these, each with its place in the handbook', () => {
    const told = Map.groupBy(alerts, ({ alert }) => alert ?? '');
    const found = [...told].map(([name, own]) => {
      const anchors = new Set(own.map(({ annotations }) => annotations?.runbook));
      return [name, [[...anchors], own.map(({ labels }) => labels?.severity ?? '').toSorted()]] as const;
    });
    const expected = Object.entries(ALERTS).map(
      ([name, [anchor, severities]]) => [name, [[`docs/operating.md#${anchor}`], severities]] as const,
    );
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
  });

  it.each(Object.values(ALERTS).map(([anchor]) => anchor))(
    '#%s says what people notice, what is safe, what tells, what to do and when to stop',
    (anchor) => {
      const sections = read('docs/operating.md').split(/^### /m);
      const section = sections.find((text) => anchorOf(text.split('\n', 1)[0] ?? '') === anchor) ?? '';
      const parts = ['What people notice.', 'Safe meanwhile.', 'What tells:', 'What to do.', 'When to stop.'];
      expect(parts.filter((part) => !section.includes(`**${part}**`))).toEqual([]);
      const commands = /```sh\n([\s\S]*?)```/.exec(section)?.[1]?.trim().split('\n') ?? [];
      expect(commands.length).toBe(3);
    },
  );
});

describe('what is asked of Prometheus', () => {
  it('is what the gateway tells, by the labels that it has', async () => {
    const text = await new Metrics({
      build: { version: '', backend: '', network: '', serviceName: '' },
      isConfigured: () => true,
      sources: { providers: () => [], exchangeRate: () => null, queues: () => ({}), streamsOpen: () => 0, logLinesDropped: () => 0 },
    }).text();
    const names = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
    const asked = [...rules.map(({ expr }) => expr), ...shown];
    const unknown = asked
      .flatMap(namesIn)
      .filter((name) => !names.has(name.replace(/_(?:bucket|sum|count)$/, '')) && !names.has(name) && !OF_OTHERS.test(name));
    expect(unknown).toEqual([]);
    expect(asked.flatMap(labelsIn).filter(([name, label]) => !labelsOf(name).has(label))).toEqual([]);
    // What is grouped by must be a label of something in the same expression, or one that Prometheus adds.
    const grouped = asked.flatMap((expr) => {
      const known = new Set(['instance', 'job', 'le', ...namesIn(expr).flatMap((name) => [...labelsOf(name)])]);
      return groupsIn(expr).filter((label) => !known.has(label));
    });
    expect(asked.flatMap(groupsIn).length).toBeGreaterThan(30);
    expect(grouped).toEqual([]);
  });

  it('names codes that there are', () => {
    const asked = [...rules.map(({ expr }) => expr), ...shown];
    const codes = asked.flatMap((expr) => [...expr.matchAll(/\bcode=~?"([^"]*)"/g)].flatMap(([, named = '']) => named.split('|')));
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.filter((code) => !(code in ERRORS))).toEqual([]);
  });

  it('has all rows on the dashboard, and leaves no metric of ours out', () => {
    expect(panels.filter(({ type }) => type === 'row').map(({ title }) => title)).toEqual(ROWS);
    const used = new Set(shown.flatMap(namesIn).map((name) => name.replace(/_(?:bucket|sum|count)$/, '')));
    expect(Object.keys(METRICS).filter((name) => !used.has(name))).toEqual(['target_info']);
  });
});

describe('Prometheus’s own checker', () => {
  const promtool = process.env['PROMTOOL'] ?? 'promtool';
  const isThere = spawnSync(promtool, ['--version']).status === 0;
  const check = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(promtool, args, { cwd: MONITORING, encoding: 'utf8' });
    return { status, said: stdout + stderr };
  };
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'pura-rules-'));
    if (!isThere) console.warn('skipped: promtool, of the package prometheus, is not there');
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  const itWhereThere = isThere || process.env['PROMTOOL_REQUIRED'] ? it : it.skip;

  itWhereThere('takes the rules, and each alert fires when it should and at no other time', () => {
    expect(check('check', 'rules', 'pura-rules.yml')).toMatchObject({ status: 0 });
    expect(check('test', 'rules', 'pura-rules-test.yml')).toMatchObject({ status: 0 });
  });

  itWhereThere('reads every expression of the dashboard', () => {
    const asked = shown.map((expr, index) => ({ record: `panel_${index}`, expr: expr.replaceAll('$__rate_interval', '5m') }));
    const file = path.join(directory, 'dashboard.yml');
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: asked }] }));
    expect(check('check', 'rules', file)).toMatchObject({ status: 0 });
  });
});

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .trim()
    .replaceAll(/\s+/g, '-');
}

/** A name stands before labels or a range, or is a whole operand. */
function namesIn(expr: string): string[] {
  return [
    ...expr
      .replaceAll(/"[^"]*"/g, '')
      .replaceAll(/\b(?:by|on|without)\s*\([^)]*\)/g, '')
      .matchAll(/\b([a-z][\w:]*)\b(?!\s*\(|\w|\s*=)/gi),
  ]
    .map(([, name = '']) => name)
    .filter((name) => name.includes('_') || name === 'up')
    .filter((name) => !name.startsWith('__'));
}

function labelsIn(expr: string): [name: string, label: string][] {
  return [...expr.matchAll(/\b(pura_\w+|gen_ai_\w+|http_\w+)\{([^}]*)\}/g)].flatMap(([, name = '', matchers = '']) =>
    [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']): [string, string] => [name, label]),
  );
}

function groupsIn(expr: string): string[] {
  return [...expr.matchAll(/\b(?:by|on|without)\s*\(([^)]*)\)/g)].flatMap(([, labels = '']) => labels.split(/\s*,\s*/).filter(Boolean));
}

function labelsOf(name: string): Set<string> {
  const row = METRICS[name.replace(/_(?:bucket|sum|count)$/, '') as keyof typeof METRICS] as { labels: readonly string[] } | undefined;
  return new Set(row?.labels);
}
