import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { createPool } from '../../../src/db/postgres.ts';
import type { ProviderRow, StatusReport } from '../../../src/status-report.ts';
import { Assets } from '../../../src/http/pages/assets.ts';
import { Pages } from '../../../src/http/pages/pages.ts';
import { statusPageHandler } from '../../../src/http/pages/status-page.ts';
import { byWindow } from '../../../src/routing/traffic.ts';
import { startApi } from '../../support/api.ts';
import { checkPage, takePicture } from '../../support/page-checks.ts';
import { findChromium, launchBrowser } from '../../support/browser.ts';

const NONE = { successRate: null, latencyMs: null, ttftMs: null, tokensPerSecond: null };
const SEEN = { successRate: 0.99996, latencyMs: 412.4, ttftMs: 1234.5, tokensPerSecond: 88.25 };
const A_MINUTE_AGO = new Date(Date.now() - 60_000).toISOString();
const MARKUP = '<img src=x onerror="alert(1)">&\'';

function row(id: string, more: Partial<ProviderRow> = {}): ProviderRow {
  return { id, configured: true, demo: false, status: 'active', windows: byWindow(() => SEEN), deployments: [], ...more };
}

const unconfigured = (id: string) => row(id, { configured: false, status: 'unconfigured', windows: byWindow(() => NONE) });

const WELL: StatusReport = {
  version: '1.2.3',
  providers: [row('openai'), unconfigured('groq')],
  lightning: { backend: 'lnd', network: 'mainnet', ready: true },
  exchangeRate: { btcUsd: 98_765.4, source: 'live', sources: ['coinbase', 'kraken'], ageSeconds: 42 },
  audit: null,
  capacity: {
    source: 'equal',
    chainId: null,
    pool: null,
    updatedAt: null,
    stale: false,
    reason: 'no capacities are configured',
    weights: {},
  },
};

/** Much at once, with names as long as they come. */
const TROUBLED: StatusReport = {
  ...WELL,
  providers: [
    row('openai', {
      status: 'degraded',
      windows: { ...byWindow(() => SEEN), '1m': NONE, '5m': { ...NONE, successRate: 0.75, latencyMs: 12_345 } },
      deployments: [
        { id: `openai/${'a-model-with-a-very-long-name-'.repeat(4)}`, circuit: 'open', pausedUntil: null },
        { id: 'openai/tried', circuit: 'half-open', pausedUntil: null },
        { id: 'openai/busy', circuit: 'closed', pausedUntil: '2026-01-02T03:04:05.678Z' },
        { id: 'openai/calm', circuit: 'closed', pausedUntil: null },
      ],
    }),
    row('anthropic', { deployments: [{ id: 'anthropic/calm', circuit: 'closed', pausedUntil: null }] }),
    row('demo', { demo: true, status: 'idle', windows: byWindow(() => NONE) }),
    unconfigured('groq'),
    unconfigured('moonshot'),
  ],
  lightning: { backend: 'simulated', network: 'simulated', ready: false, reason: 'the simulated node cannot reach its database' },
  exchangeRate: { btcUsd: null, source: 'simulated', sources: [], ageSeconds: null },
  audit: { at: '2026-01-02T03:04:05.678Z', sound: false },
  capacity: {
    source: 'chain',
    chainId: 84_532,
    pool: '0x0',
    updatedAt: '2026-01-02T03:04:05.678Z',
    stale: true,
    reason: 'the node does not answer',
    weights: { openai: 1, anthropic: 0.33333 },
  },
};

let report: StatusReport;
let server: Server;
let origin: string;
beforeAll(async () => {
  const assets = new Assets();
  const app = express();
  app.get('/status', (req, res, next) => {
    const { backend, network } = report.lightning;
    const pages = new Pages({ assets, simulated: backend === 'simulated', version: report.version, network });
    return statusPageHandler({ report: () => Promise.resolve(report), pages })(req, res, next);
  });
  app.get('/assets/:name', assets.handler);
  server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));
beforeEach(() => {
  report = WELL;
});

async function html(told: StatusReport = report): Promise<string> {
  report = told;
  return (await fetch(`${origin}/status`)).text();
}

/** What is read of a part of the page: its words, one blank between them. */
function wordsOf(markup: string): string {
  return markup
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

const partsOf = (page: string, tag: string) =>
  [...page.matchAll(new RegExp(`<${tag}\\b[^>]*>(.*?)</${tag}>`, 'gs'))].map(([, part = '']) => wordsOf(part));

describe('the status page, as served', () => {
  it('may load nothing from elsewhere, runs nothing of others, and is kept nowhere', async () => {
    const answer = await fetch(`${origin}/status`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none';(?!.*(unsafe|https?:|\*))/);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const page = await answer.text();
    expect(page).not.toMatch(/<script(?! src="\/)|\son\w+=|\sstyle=|https?:\/\//);
    expect(page).toContain('<a href="/status">Refresh</a>');
    expect(page).toContain('href="/api/status"');
  });

  const one = (more: Partial<ProviderRow>, id = 'openai') => ({ ...WELL, providers: [row(id, more)] });
  it.each<[string, string, StatusReport]>([
    ['All providers answer', 'active', WELL],
    ['openai is degraded', 'degraded', one({ status: 'degraded' })],
    ['a, b, and c are degraded', 'degraded', { ...WELL, providers: ['a', 'b', 'c'].map((id) => row(id, { status: 'degraded' })) }],
    ['No traffic in the last 5 minutes', 'idle', one({ status: 'idle' })],
    ['All providers that were asked lately answer', 'active', { ...WELL, providers: [row('a'), row('b', { status: 'idle' })] }],
    ['No provider is configured', 'degraded', { ...WELL, providers: [unconfigured('openai')] }],
    ['All providers answer. Lightning is not ready', 'degraded', { ...WELL, lightning: { ...WELL.lightning, ready: false } }],
    ['All providers answer. No exchange rate is known', 'degraded', { ...WELL, exchangeRate: { ...WELL.exchangeRate, btcUsd: null } }],
    ['All providers answer. The last audit found the ledger unsound', 'degraded', { ...WELL, audit: { at: A_MINUTE_AGO, sound: false } }],
    ['All providers answer', 'active', { ...WELL, audit: { at: A_MINUTE_AGO, sound: true } }],
    [
      'openai is degraded. Lightning is not ready. No exchange rate is known. The last audit found the ledger unsound',
      'degraded',
      TROUBLED,
    ],
  ])('says in one line: %s', async (sentence, state, told) => {
    const page = await html(told);
    expect(partsOf(page, 'h1').map((heading) => heading.replace(/^[●▲○] /, ''))).toEqual([sentence]);
    expect(page).toContain(`<h1 class="sentence ${state}"`);
    expect(partsOf(page, 'title')).toEqual([`${sentence} · Pura${told.lightning.backend === 'simulated' ? ' (play sats)' : ''}`]);
  });

  it('tells the figures of each span, and where there are none', async () => {
    const [openai, anthropic, demo, ...others] = partsOf(await html(TROUBLED), 'tbody');
    expect(openai).toBe(
      '1 min – no traffic – no traffic – no traffic – no traffic 5 min 75% 12.3 s – not measured – not measured ' +
        '1 h 99.9% 412 ms 1.2 s 88.3 24 h 99.9% 412 ms 1.2 s 88.3',
    );
    expect(anthropic).toMatch(/^1 min 99\.9% 412 ms 1\.2 s 88\.3 5 min/);
    expect(demo).not.toMatch(/%|ms/);
    expect(others).toEqual([]);
  });

  it('says all is well only where all went well', async () => {
    const all = await html(one({ windows: byWindow(() => ({ ...SEEN, successRate: 1 })) }));
    expect(partsOf(all, 'tbody')[0]).toContain('1 min 100%');
    const nothing = await html(one({ windows: byWindow(() => ({ ...NONE, successRate: 0 })) }));
    expect(partsOf(nothing, 'tbody')[0]).toContain('1 min 0% – not measured');
  });

  it('names the deployments that are left alone or paused, and no others', async () => {
    const page = await html(TROUBLED);
    const [long, tried, busy] = partsOf(page, 'li');
    expect(long).toMatch(/name- : circuit open, it is left alone for a moment$/);
    expect(tried).toBe('openai/tried : circuit half open, it is being tried again');
    expect(busy).toBe('openai/busy : paused until 2026-01-02 03:04:05 UTC, as its provider asked');
    expect(page).not.toContain('openai/calm');
    expect(page.match(/No circuit is open/g)).toHaveLength(1);
    expect(wordsOf(page)).toContain('Not configured: groq, moonshot.');
  });

  it('tells of the wallet, the rate, the capacities and the version', async () => {
    expect(partsOf(await html(WELL), 'dd')).toEqual([
      '● Ready',
      'LND',
      'mainnet',
      '1 BTC = $98,765 (of coinbase and kraken, 42 s old)',
      '○ No audit is known',
      'Equal: no capacities are configured',
      '1.2.3',
    ]);
    expect(partsOf(await html(TROUBLED), 'dd')).toEqual([
      '▲ Not ready: the simulated node cannot reach its database',
      'simulated (play money)',
      'simulated',
      'None is young enough: nothing can be priced now, and nothing is charged (simulated: made up, as the sats are)',
      expect.stringMatching(/^▲ Unsound, \d+ days ago$/),
      'Units of a Superfluid pool on chain 84532, read 2026-01-02 03:04:05 UTC. Stale: the node does not answer openai 1 anthropic 0.333',
      '1.2.3',
    ]);
    const configured = { ...WELL.capacity, source: 'configured' as const, reason: null, weights: { openai: 0.5 } };
    expect(partsOf(await html({ ...WELL, capacity: configured }), 'dd')[5]).toBe('Set by the operator openai 0.5');
  });

  it('marks what is made up', async () => {
    expect(await html(WELL)).not.toMatch(/play money|class="tag"/);
    const page = await html(TROUBLED);
    expect(page).toContain('This is play money');
    expect(partsOf(page, 'h3')).toEqual(['openai', 'anthropic', 'demo demo']);
  });

  it('is a page of landmarks, headings in order, and tables with a caption and scopes', async () => {
    const page = await html(TROUBLED);
    for (const tag of ['header', 'main', 'footer', 'h1']) expect(page.match(new RegExp(`<${tag}\\b`, 'g'))).toHaveLength(1);
    expect(page).toMatch(/<html lang="en">/);
    expect(partsOf(page, 'caption')).toEqual(['openai', 'anthropic', 'demo'].map((id) => `How ${id} did over the last`));
    expect(page.match(/<th\b(?! scope="(?:row|col)")/g)).toBeNull();
    expect(partsOf(page, 'h2')).toEqual(['Providers', 'Gateway']);
    expect(page).toMatch(/▲<\/span> Degraded/);
  });

  it('shows markup in any name or reason as text', async () => {
    const page = await html({
      version: MARKUP,
      providers: [
        row(MARKUP, { status: 'degraded', deployments: [{ id: MARKUP, circuit: 'open', pausedUntil: null }] }),
        unconfigured(MARKUP),
      ],
      lightning: { backend: 'lnd', network: 'mainnet', ready: false, reason: MARKUP },
      exchangeRate: { ...WELL.exchangeRate, sources: [MARKUP] },
      audit: null,
      capacity: { ...WELL.capacity, source: 'configured', reason: MARKUP, weights: { [MARKUP]: 1 } },
    });
    expect(page).not.toContain('<img');
    expect(page.match(/&lt;img src=x onerror=&quot;alert\(1\)&quot;&gt;&amp;&#39;/g)).toHaveLength(12);
  });
});

describe('the status page, in the gateway', () => {
  it('needs no key and no database, and tells what /api/status does', async () => {
    const pool = createPool({ connectionString: 'postgres://nobody:secret@127.0.0.1:1/none' });
    const api = await startApi({ deps: { pool } });
    try {
      const answer = await fetch(`${api.origin}/status`);
      const { body } = await api.call('GET', '/api/status');
      const page = await answer.text();
      expect([answer.status, partsOf(page, 'dd').at(-1)]).toEqual([200, body['version']]);
      expect(wordsOf(page)).toContain(`Not configured: ${(body['providers'] as unknown as ProviderRow[]).map(({ id }) => id).join(', ')}.`);
      const head = await fetch(`${api.origin}/status`, { method: 'HEAD' });
      expect([head.status, head.headers.get('cache-control'), await head.text()]).toEqual([200, 'no-store', '']);
    } finally {
      await api.close();
      await pool.end();
    }
  });
});

const inBrowser = findChromium() ? describe : describe.skip;
if (!findChromium()) console.warn('No Chromium found: the status page is not tested in a browser. Install one, or set CHROMIUM_PATH.');

inBrowser('the status page, in a browser', () => {
  let browser: Browser;
  let context: BrowserContext | undefined;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterEach(() => context?.close());
  afterAll(() => browser.close());

  it.each([
    ['phone, light', 360, 'light'],
    ['phone, dark', 360, 'dark'],
    ['desktop, light', 1280, 'light'],
    ['desktop, dark', 1280, 'dark'],
  ] as const)(
    'is read without scrolling sideways, breaks no rule of its own and asks nobody else: %s',
    async (name, width, colorScheme) => {
      report = TROUBLED;
      context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
      const page = await context.newPage();
      const [requested, complaints]: [string[], string[]] = [[], []];
      page.on('request', (request) => requested.push(new URL(request.url()).origin));
      page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
      await page.goto(`${origin}/status`);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
      expect(await cutOff(page)).toEqual([]);
      await takePicture(page, `status-${name.replace(', ', '-')}`);
      await checkPage(page);
      expect(await page.getByRole('table', { name: 'How openai did over the last' }).getByRole('rowheader').allInnerTexts()).toEqual([
        '1 min',
        '5 min',
        '1 h',
        '24 h',
      ]);
      expect([new Set(requested), complaints]).toEqual([new Set([origin]), []]);
    },
  );

  it('shows new figures by itself after half a minute, and says what has changed', async () => {
    context = await browser.newContext();
    const page = await context.newPage();
    await page.clock.install();
    await page.goto(`${origin}/status`);
    const said = page.getByRole('status');
    expect(await said.textContent()).toBe('');
    report = TROUBLED;
    await page.clock.runFor(31_000);
    await page.getByText('openai/tried').waitFor();
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toMatch(/openai is degraded/);
    expect(await said.textContent()).toMatch(/^openai is degraded/);
    await context.setOffline(true);
    await page.clock.runFor(31_000);
    await page.getByText('Not refreshed: the gateway does not answer.').waitFor();
  });
});

/** The tables and lists that are wider than the card around them. */
function cutOff(page: Page): Promise<string[]> {
  return page.evaluate(
    `[...document.querySelectorAll('.card, .facts, .sentence')].filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.className)`,
  );
}
