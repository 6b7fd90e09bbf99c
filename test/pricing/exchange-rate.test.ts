import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../src/config/config.ts';
import { btcUsdFromExchangeRate } from '../../src/amount.ts';
import { createLog } from '../../src/log.ts';
import type { Observation } from '../../src/observation.ts';
import { openExchangeRate, type ExchangeRate } from '../../src/pricing/exchange-rate.ts';
import { agreedPrice, fetchBtcUsd, rateSources } from '../../src/pricing/rate-sources.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

type Answer = (res: ServerResponse) => void;

let database: TestDatabase;
/** Stands in for all the sources, each under its own path. */
let server: Server;
let origin: string;
let asked: string[];
let answers: Record<string, Answer>;

const json = (value: unknown): Answer => {
  return (res) => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
};
/** As each source writes a price. */
const says = {
  coinbase: (price) => json({ data: { amount: String(price), base: 'BTC', currency: 'USD' } }),
  kraken: (price) => json({ error: [], result: { XXBTZUSD: { a: ['1', '1', '1'], c: [price.toFixed(5), '0.1'] } } }),
  bitstamp: (price) => json({ timestamp: '1', last: String(price), open: '1' }),
  bitfinex: (price) => json([1, 1, 1, 1, 1, 0.01, price, 1, 1, 1]),
  mempool: (price) => json({ time: 1, USD: price, EUR: 1 }),
} satisfies Record<string, (price: number) => Answer>;
const down: Answer = (res) => res.destroy();
const allSay = (price: number) => Object.fromEntries(Object.entries(says).map(([name, say]) => [name, say(price)]));

beforeAll(async () => {
  database = await createTestDatabase();
  server = createServer((req, res) => {
    const name = req.url?.slice(1) ?? '';
    asked.push(name);
    (answers[name] ?? down)(res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => {
  asked = [];
  answers = allSay(100_000);
});
afterEach(async () => {
  await database.pool.query('delete from exchange_rates');
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await database.drop();
});

const mirrors = () => Object.keys(says).map((name) => `${name}=${origin}/${name}`);

/** The rate of a gateway that starts now, with a real wallet. */
function open(env: Record<string, string> = {}): Promise<ExchangeRate> {
  const config = loadConfig({ NWC_URL: 'nostr+walletconnect://x', BTC_USD_SOURCES: mirrors().join(','), ...env });
  return openExchangeRate(config, { pool: database.pool, log: createLog('silent'), observe: (one) => void observed.push(one) });
}
const observed: Observation[] = [];

const btcUsd = (rate: ExchangeRate) => btcUsdFromExchangeRate(rate.current());
const grownOld = (by: string) => database.pool.query('update exchange_rates set fetched_at = fetched_at - $1::interval', [by]);
function refused(rate: ExchangeRate): boolean {
  try {
    rate.current();
    return false;
  } catch {
    return true;
  }
}
const unavailable = expect.objectContaining({ code: 'exchange_rate_unavailable', status: 503 });

describe('the exchange rate', () => {
  it("is the operator's where set, and nobody is asked", async () => {
    const rate = await open({ BTC_USD: '64000.5' });
    expect([rate.source, btcUsd(rate), asked]).toEqual(['fixed', 64_000.5, []]);
  });

  it('is made up, and says so, with the simulated wallet, and nobody is asked', async () => {
    const rate = await open({ LIGHTNING_BACKEND: 'simulated' });
    expect([rate.source, btcUsd(rate), asked]).toEqual(['simulated', 100_000, []]);
  });

  it('is the median of all the sources with a real wallet', async () => {
    answers = { ...answers, coinbase: says.coinbase(100_300), mempool: says.mempool(99_900), kraken: says.kraken(100_100.5) };
    const rate = await open();
    expect([rate.source, btcUsd(rate)]).toEqual(['live', 100_000]);
    expect(rate.sources.toSorted()).toEqual(Object.keys(says).toSorted());
    expect(rate.ageSeconds()).toBeLessThan(60);
    expect(asked.toSorted()).toEqual(Object.keys(says).toSorted());
  });

  it.each([
    ['a hundredfold', 10_000_000],
    ['a hundredth', 1_000],
    ['a tenth more', 110_000],
  ])('is not moved by a source that tells %s', async (_what, lie) => {
    answers = { ...answers, coinbase: says.coinbase(lie) };
    expect(btcUsd(await open())).toBe(100_000);
  });

  it.each<[string, Answer]>([
    ['is down', down],
    ['fails', (res) => res.writeHead(500).end('{}')],
    ['redirects', (res) => res.writeHead(302, { location: `${origin}/mempool` }).end()],
    ['tells no number', json({ data: { amount: 'much' }, result: {}, last: null, USD: -1 })],
    ['tells nothing but garbage', (res) => res.end('<html>')],
    ['never ends', (res) => endless(res)],
  ])('does without two sources where each %s', async (_what, answer) => {
    answers = { ...answers, coinbase: answer, bitstamp: answer };
    observed.length = 0;
    expect(btcUsd(await open())).toBe(100_000);
    expect(asked.filter((name) => name === 'mempool')).toHaveLength(1);
    const told = observed.map((one) => one.kind === 'price_asked' && [one.source, one.result]);
    const failed = ['coinbase', 'bitstamp'];
    expect(told).toEqual(Object.keys(says).map((source) => [source, failed.includes(source) ? 'failed' : 'ok']));
  });

  it('does not exist where all the sources are down, or only one is not', async () => {
    answers = {};
    const rate = await open();
    expect(() => rate.current()).toThrow(unavailable);
    answers = { kraken: says.kraken(100_000) };
    await expect(rate.refresh()).rejects.toThrow('1 of 5');
    expect(() => rate.current()).toThrow(unavailable);
    answers = { kraken: says.kraken(100_000), mempool: says.mempool(100_000) };
    await rate.refresh();
    expect(btcUsd(rate)).toBe(100_000);
  });

  it('outlives a restart while it is young, without a source', async () => {
    await open();
    await grownOld('9 minutes');
    answers = {};
    expect(btcUsd(await open())).toBe(100_000);
  });

  it('is refused once it is ten minutes old', async () => {
    await open();
    await grownOld('11 minutes');
    answers = {};
    const rate = await open();
    expect(() => rate.current()).toThrow(unavailable);
  });

  it('grows old in a gateway that runs, too', async () => {
    const rate = await open({ BTC_USD_MAX_AGE_SECONDS: '1' });
    expect(btcUsd(rate)).toBe(100_000);
    await until(() => refused(rate));
    expect(() => rate.current()).toThrow(unavailable);
  });

  it('is asked for once a minute by all the gateways of a database together', async () => {
    const first = await open();
    answers = allSay(90_000);
    const second = await open();
    await first.refresh();
    expect([asked.length, btcUsd(second)]).toEqual([Object.keys(says).length, 100_000]);
    await grownOld('1 minute');
    const third = await open();
    await second.refresh();
    expect([btcUsd(third), btcUsd(second)]).toEqual([90_000, 90_000]);
    expect(asked).toHaveLength(2 * Object.keys(says).length);
  });

  it('comes from the sources that the configuration names, of which it needs two', async () => {
    await open({ BTC_USD_SOURCES: mirrors().slice(0, 2).join(',') });
    expect(asked.toSorted()).toEqual(['coinbase', 'kraken']);
    await expect(open({ BTC_USD_SOURCES: 'kraken' })).rejects.toThrow('BTC_USD_SOURCES');
    await expect(open({ BTC_USD_SOURCES: 'kraken,mtgox' })).rejects.toThrow('BTC_USD_SOURCES');
  });

  it('is asked for over TLS at the public sources', () => {
    expect(rateSources([]).map(({ url }) => new URL(url).protocol)).toEqual(Object.keys(says).map(() => 'https:'));
  });

  it('gives a source up when it is told to', async () => {
    const aborted = AbortSignal.abort(new Error('the gateway stops'));
    await expect(fetchBtcUsd({ name: 'kraken', url: `${origin}/kraken` }, aborted)).rejects.toThrow();
  });
});

describe('the price that sources agree on', () => {
  it.each<[number[], number | undefined]>([
    [[], undefined],
    [[100], undefined],
    [[100, 101], 100.5],
    [[100, 200], undefined],
    [[100, 100, 1], 100],
    [[100, 100, 200, 200], undefined],
    [[99, 100, 101, 1e9, 0.1], 100],
  ])('of %j is %p', (prices, agreed) => {
    expect(agreedPrice(prices)).toBe(agreed);
  });
});

function endless(res: ServerResponse): void {
  res.writeHead(200);
  const more = (): void => {
    while (!res.destroyed && res.write(' '.repeat(16_384)));
    if (!res.destroyed) res.once('drain', more);
  };
  more();
}
