import { request } from 'undici';
import { z } from 'zod';
import { ConfigError } from '../config/config-error.ts';

/** Where the price of a bitcoin in USD is asked for, and how its answer is read. */
export interface RateSource {
  readonly name: RateSourceName;
  readonly url: string;
}

const price = z.coerce.number().positive().finite();

/** The public price sources: each one's own exchange, or its own index. None needs a key. */
const SOURCES = {
  // https://docs.cdp.coinbase.com/coinbase-app/track-apis/prices
  coinbase: {
    url: 'https://api.coinbase.com/v2/prices/BTC-USD/spot',
    answer: z.object({ data: z.object({ amount: price }) }).transform(({ data }) => data.amount),
  },
  // https://docs.kraken.com/api/docs/rest-api/get-ticker-information: `c` is the last trade, price and volume
  kraken: {
    url: 'https://api.kraken.com/0/public/Ticker?pair=XBTUSD',
    answer: z
      .object({ result: z.object({ XXBTZUSD: z.object({ c: z.tuple([price]).rest(z.unknown()) }) }) })
      .transform(({ result }) => result.XXBTZUSD.c[0]),
  },
  // https://www.bitstamp.net/api/#tag/Tickers
  bitstamp: {
    url: 'https://www.bitstamp.net/api/v2/ticker/btcusd/',
    answer: z.object({ last: price }).transform(({ last }) => last),
  },
  // https://docs.bitfinex.com/reference/rest-public-ticker: the seventh number is the last trade's price
  bitfinex: {
    url: 'https://api-pub.bitfinex.com/v2/ticker/tBTCUSD',
    answer: z.array(z.unknown()).transform((numbers) => price.parse(numbers[6])),
  },
  // https://mempool.space/docs/api/rest#get-price
  mempool: {
    url: 'https://mempool.space/api/v1/prices',
    answer: z.object({ USD: price }).transform(({ USD }) => USD),
  },
} as const;

export type RateSourceName = keyof typeof SOURCES;

/**
 * The sources of BTC_USD_SOURCES: names of the table above, `name=url` for one that is asked through a mirror; all of them where it names
 * none. Throws ConfigError for a name that the table does not have, and for fewer than two: no source alone sets the rate.
 */
export function rateSources(entries: readonly string[]): RateSource[] {
  const named = (entries.length > 0 ? entries : Object.keys(SOURCES)).map((entry): RateSource => {
    const [name = '', ...url] = entry.split('=');
    if (!isSource(name)) throw new ConfigError(`BTC_USD_SOURCES: the sources are ${Object.keys(SOURCES).join(', ')}`);
    return { name, url: url.join('=') || SOURCES[name].url };
  });
  if (named.some(({ url }) => !URL.canParse(url))) throw new ConfigError('BTC_USD_SOURCES: a mirror is given as name=url');
  if (new Set(named.map(({ name }) => name)).size < FEWEST) throw new ConfigError('BTC_USD_SOURCES: two sources or more are needed');
  return named;
}

function isSource(name: string): name is RateSourceName {
  return Object.hasOwn(SOURCES, name);
}

const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 64 * 1024;

/** One source's price of a bitcoin in USD, above 0. Rejects where it is away, slow, redirects, or answers anything else. */
export async function fetchBtcUsd({ name, url }: RateSource, signal?: AbortSignal): Promise<number> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const { statusCode, body } = await request(url, {
    headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'pura-gateway' },
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
  const chunks: Buffer[] = [];
  let receivedBytes = 0;
  // Leaving the loop closes the connection.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    receivedBytes += chunk.length;
    if (receivedBytes > MAX_ANSWER_BYTES) throw new Error(`${name} sent more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  if (statusCode !== 200) throw new Error(`${name} answered ${statusCode}`);
  return SOURCES[name].answer.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
}

/** How far from the median a price may be: exchanges differ by a fraction of that. */
const AGREEMENT = 0.02;
/** One source alone never sets the rate. */
const FEWEST = 2;

/**
 * The price that most of the sources agree on: the median of those within 2 % of the median of all. Undefined where fewer than two, or
 * no more than half of those that answered, agree: then any of them may be wrong.
 */
export function agreedPrice(prices: readonly number[]): number | undefined {
  const middle = median(prices);
  if (middle === undefined) return undefined;
  const agreeing = prices.filter((one) => Math.abs(one - middle) <= middle * AGREEMENT);
  return agreeing.length >= FEWEST && agreeing.length * 2 > prices.length ? median(agreeing) : undefined;
}

function median(numbers: readonly number[]): number | undefined {
  const sorted = numbers.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}
