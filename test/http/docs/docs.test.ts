import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { ERRORS } from '../../../src/errors.ts';
import { curlOf } from '../../../src/http/docs/curl-example.ts';
import { GUIDES } from '../../../src/http/docs/guides.ts';
import { groupsOf } from '../../../src/http/docs/reference.ts';
import { OPERATIONS } from '../../../src/routes.ts';
import { foreignInvoice } from '../../support/foreign-invoice.ts';
import { startNostrRelay, type NostrRelay } from '../../support/nostr-relay.ts';
import { startNwcPayerService, type NwcPayerService } from '../../support/nwc-payer-service.ts';
import { startGateway, type TestGateway } from '../../support/gateway.ts';

let gateway: TestGateway;
let variables: Record<string, string>;
let relay: NostrRelay;
let wallet: NwcPayerService;

beforeAll(async () => {
  gateway = await startGateway({
    env: { DEMO_PROVIDER: 'true', KEYS_PER_IP_PER_HOUR: '1000', ADMIN_TOKEN: 'ann:0123456789abcdef0123456789abcdef', WITHDRAWALS: 'true' },
    autopay: { payers: { allowLoopback: true } },
  });
  relay = await startNostrRelay();
  wallet = await startNwcPayerService({ relayUrls: [relay.url], pay: (invoice) => Promise.reject(new Error(`asked to pay ${invoice}`)) });
  const key = await gateway.newKey();
  await gateway.fund(key, 10_000);
  const spare = await gateway.post('/api/keys', {}, key);
  const invoice = await gateway.post('/api/wallet/fund', { amount: 1000 }, key);
  variables = {
    MY_PURA_KEY: key.secret,
    KEY_ID: ((await spare.json()) as { id: string }).id,
    INVOICE_ID: ((await invoice.json()) as { invoiceId: string }).invoiceId,
  };
});
afterAll(async () => {
  wallet.close();
  await gateway.close();
  await relay.stop();
});

const shell = promisify(execFile);

/** The status with which a command of the documentation is answered. */
async function statusOf(command: string): Promise<number> {
  const asked = command.replaceAll('curl -s ', `curl -s -o /dev/null -w '%{http_code}' --max-time 10 `);
  const { stdout } = await shell('sh', ['-c', asked], { env: { ...variables, PATH: process.env['PATH'] ?? '' } });
  return Number(stdout);
}

/** With an invoice and a connection where an example leaves its reader's out. */
function completed(command: string): string {
  const invoice = foreignInvoice({ amountMsat: 100_000n }).paymentRequest;
  return command.replace('lnbc…', invoice).replace('nostr+walletconnect://…', wallet.url);
}

/** The blocks of code on a page, as its reader copies them. */
function blocksOf(page: string): string[] {
  return [...page.matchAll(/<pre[^>]*>([\s\S]*?)<\/pre>/g)].map(([, code = '']) =>
    code.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&'),
  );
}

const PAGES = [
  '/docs',
  '/docs/errors',
  '/docs/api',
  ...GUIDES.map(({ name }) => `/docs/${name}`),
  ...groupsOf(OPERATIONS).map(({ name }) => `/docs/api/${name}`),
];

async function html(path: string): Promise<string> {
  const answer = await gateway.get(path);
  expect([path, answer.status]).toEqual([path, 200]);
  return answer.text();
}

describe('the documentation', () => {
  it('has one anchor for each error', async () => {
    const page = await html('/docs/errors');
    const anchors = [...page.matchAll(/<h2 id="([^"]+)"/g)].map(([, id]) => id);
    expect(anchors).toEqual(Object.keys(ERRORS));
  });

  it('has a page for each guide and group, each with its own title, and may be found', async () => {
    const pages = await Promise.all(PAGES.slice(1).map(html));
    const titles = pages.map((page) => /<title>([^<]+)/.exec(page)?.[1]);
    expect(new Set(titles).size).toBe(titles.length);
    for (const page of pages) expect(page).not.toContain('noindex');
    expect((await gateway.get('/docs')).headers.get('x-robots-tag')).toBeNull();
  });

  it('leads nowhere that is not there: every link and every anchor on its own site', async () => {
    const pages = new Map(await Promise.all(PAGES.map(async (path) => [path, await html(path)] as const)));
    const links = [...pages].flatMap(([path, page]) =>
      [...page.matchAll(/<a [^>]*href="([^"]+)"/g)].map(([, href = '']) => new URL(href, gateway.url + path)),
    );
    const own = new Set(links.filter(({ origin }) => origin === gateway.url).map(({ pathname, hash }) => pathname + hash));
    expect(own.size).toBeGreaterThan(100);
    const lost: string[] = [];
    for (const link of own) {
      const [path = '', anchor] = link.split('#');
      const known = pages.get(path);
      if (known === undefined) {
        const { status } = await gateway.get(path);
        if (status >= 400) lost.push(`${link} ${status}`);
      } else if (anchor !== undefined && anchor !== 'main' && !known.includes(` id="${anchor}"`)) lost.push(link);
    }
    expect(lost).toEqual([]);
  });

  it('has every text of the repository', () => {
    const texts = readdirSync(new URL('../../../docs/', import.meta.url)).filter((name) => name.endsWith('.md'));
    expect(texts.map((name) => name.replace('.md', '')).toSorted()).toEqual(GUIDES.map(({ name }) => name).toSorted());
  });

  it('is a page where a page is missing', async () => {
    const answer = await gateway.get('/docs/nothing');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'text/html; charset=utf-8']);
  });
});

describe('the examples', () => {
  /** Those that a person or a wallet has to take part in, or an operator. */
  const NOT_ALONE = new Set(['withdraw', 'getWithdrawal', 'storeAutopay', 'getRequest', 'getReceipt']);
  const alone = OPERATIONS.filter(
    ({ asker, tag, body, id }) =>
      (asker === 'anybody' || asker === 'key' || asker === 'owner') &&
      !['Pages', 'Console', 'Operator', 'Lightning'].includes(tag) &&
      !NOT_ALONE.has(id) &&
      (!body || body.content['application/json'] !== undefined),
  );

  it('of the reference are answered as they say', async () => {
    // What ends a key comes last.
    const ordered = alone.toSorted((a, b) => Number(a.id === 'revokeKey') - Number(b.id === 'revokeKey'));
    expect(ordered.length).toBeGreaterThan(30);
    const odd: string[] = [];
    for (const operation of ordered) {
      const status = await statusOf(curlOf(operation, gateway.url));
      const expected = operation.path.startsWith('/l402/') ? [402] : Object.keys(operation.answers).map(Number);
      if (!expected.includes(status)) odd.push(`${operation.id} ${status}`);
    }
    expect(odd).toEqual([]);
  });

  const ANSWERED = ['start', 'costs', 'keys', 'wallets', 'router'];
  /** Those that only their reader can complete: with a provider's own key, a payment of a 402, the machine of an operator. */
  const OF_THE_READER = ['byok', 'agents', 'deploy', 'operating'];

  it('of the guides are all among those that are run, but for what only their reader has', async () => {
    const names: string[] = [];
    for (const { name } of GUIDES)
      if (/^ *curl /m.test(await html(`/docs/${name}`).then((page) => blocksOf(page).join('\n')))) names.push(name);
    expect(names.filter((name) => !OF_THE_READER.includes(name)).toSorted()).toEqual(ANSWERED.toSorted());
  });

  it.each(ANSWERED)('of /docs/%s are answered', async (name) => {
    const page = await html(`/docs/${name}`);
    const blocks = blocksOf(page);
    const commands = blocks.flatMap((block) => block.split(/\n(?=curl )/)).filter((block) => block.startsWith('curl '));
    expect(commands.length).toBeGreaterThan(0);
    for (const command of commands) {
      const status = await statusOf(completed(command));
      expect([command, status]).toEqual([command, status < 300 ? status : 'a success']);
    }
  });
});

describe('/llms.txt', () => {
  it('is a title, a summary and lists of links, and names the ways to pay', async () => {
    const text = await (await gateway.get('/llms.txt')).text();
    expect(text).toMatch(/^# Pura\n\n> .+\n/);
    for (const path of ['/openapi.json', '/.well-known/l402', '/docs/agents', '/docs/errors', '/mcp'])
      expect(text).toContain(`(${gateway.url}${path})`);
    expect(text).toContain('demo-cheap');
  });
});
