import { createHash } from 'node:crypto';
import { calcPrice, findProvider, type ModelInfo, type ModelPrice } from '@pydantic/genai-prices';
import type { Config } from '../config/config.ts';
import type { PricesConfig } from '../config/gateway-file.ts';
import type { Pool } from '../db/postgres.ts';
import { divideRoundingUp, picoUsd, picoUsdFromUsd, type PicoUsd } from '../amount.ts';
import type { RateCard, RateStep, TokenRates } from './rate-card.ts';

/** A model's prices before they have a version. */
export type Rates = Omit<RateCard, 'priceVersion'>;

/** All prices in force, by `<provider>/<model>`: the same set on every gateway of a configuration. */
export type Prices = ReadonlyMap<string, Rates>;

/** A price of the catalogue, and the name under which the catalogue lists the model that was asked for. */
export interface CatalogueEntry {
  readonly id: string;
  readonly contextWindow: number | undefined;
}

/** Public providers whose prices are compiled. */
const PROVIDERS = ['openai'] as const;
export type CatalogueProvider = (typeof PROVIDERS)[number];

/** The demo's models have prices like real ones, so that costs, budgets and tiers show. USD per million tokens. */
const DEMO_PRICES: Readonly<Record<string, PricesConfig>> = {
  'demo-cheap': { input: 0.1, output: 0.4, cacheRead: 0.025 },
  'demo-mid': { input: 1, output: 4, cacheRead: 0.25 },
  'demo-premium': { input: 5, output: 20, cacheRead: 1.25 },
};

const DAY_MS = 86_400_000;

/** Per-call extras that the gateway never asks for, so that they cannot be billed. */
const NEVER_ASKED_FOR = new Set(['web_searches_kcount', 'storage_searches_kcount']);
const TOKEN_PRICES = new Set(['input_mtok', 'output_mtok', 'cache_read_mtok', 'cache_write_mtok', 'cache_write_1h_mtok']);

/**
 * Compiles the catalogue's prices of `at` and the operator's own to integers. A model whose price is not known, or is
 * not by the token alone, is left out: it cannot be served.
 */
export function compilePrices({ prices, deployments }: Pick<Config, 'prices' | 'deployments'>, at: Date = new Date()): Prices {
  const compiled = new Map<string, Rates>();
  for (const provider of PROVIDERS) {
    for (const { id } of findProvider({ providerId: provider })?.models ?? []) {
      const rates = catalogueRates(provider, id, at);
      if (rates) compiled.set(`${provider}/${id}`, rates);
    }
    // A name with a slash is a deployment's.
    for (const [model, own] of Object.entries(prices)) if (!model.includes('/')) compiled.set(`${provider}/${model}`, ratesFromConfig(own));
  }
  for (const [model, own] of Object.entries(DEMO_PRICES)) compiled.set(`demo/${model}`, ratesFromConfig(prices[model] ?? own));
  for (const { id, prices: own } of deployments) compiled.set(`pureai/${id}`, ratesFromConfig(prices[`pureai/${id}`] ?? own));
  return compiled;
}

/** When a price of the catalogue next changes after `afterMs`, or may; Unix milliseconds, Infinity where none ever does. */
export function nextPriceChange(afterMs: number): number {
  const models = PROVIDERS.flatMap((provider) => findProvider({ providerId: provider })?.models ?? []);
  return nextChangeOf(models, afterMs);
}

/** The same of the models given. Prices hold from a date on (00:00 UTC), or between two times of every day (UTC). */
export function nextChangeOf(models: readonly Pick<ModelInfo, 'prices'>[], afterMs: number): number {
  const constraints = models.flatMap(({ prices }) => (Array.isArray(prices) ? prices : [])).map(({ constraint }) => constraint);
  const changes = constraints.flatMap((constraint) => {
    if (!constraint) return [];
    if (constraint.type === 'start_date') return [Date.parse(constraint.start_date)];
    return [constraint.start_time, constraint.end_time].map((time) => nextTimeOfDay(time, afterMs));
  });
  return Math.min(...changes.filter((change) => change > afterMs), Infinity);
}

/** When it is next `time` (`16:30:00Z`). */
function nextTimeOfDay(time: string, afterMs: number): number {
  const today = Date.parse(`${new Date(afterMs).toISOString().slice(0, 10)}T${time}`);
  return [today - DAY_MS, today, today + DAY_MS, today + 2 * DAY_MS].find((moment) => moment > afterMs) ?? Infinity;
}

/** The catalogue's entry for a model id as a provider takes it (dated ids and aliases included); null where it has none. */
export function catalogueEntry(provider: CatalogueProvider, model: string, at: Date = new Date()): CatalogueEntry | null {
  const found = lookUp(provider, model, at)?.info;
  return found ? { id: found.id, contextWindow: found.context_window } : null;
}

/**
 * The number under which the database knows this set of prices; a new set is stored first. Charges are stamped with it.
 */
export async function loadPriceVersion(pool: Pool, prices: Prices): Promise<number> {
  const rows = [...prices].sort(([a], [b]) => (a < b ? -1 : 1));
  const json = JSON.stringify(Object.fromEntries(rows), (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  const sha256 = createHash('sha256').update(json).digest();
  const known = 'select version from price_versions where sha256 = $1';
  const insert = 'insert into price_versions (sha256, prices) values ($1, $2) on conflict (sha256) do nothing returning version';
  for (const [sql, values] of [
    [known, [sha256]],
    [insert, [sha256, json]],
    [known, [sha256]],
  ] as const) {
    const { rows: found } = await pool.query<{ version: number }>(sql, [...values]);
    if (found[0]) return found[0].version;
  }
  throw new Error('price_versions neither has the prices nor takes them');
}

function lookUp(provider: CatalogueProvider, model: string, at: Date): { info: ModelInfo; price: ModelPrice } | null {
  const found = calcPrice({ input_tokens: 0, output_tokens: 0 }, model, { providerId: provider, timestamp: at });
  return found && { info: found.model, price: found.model_price };
}

function catalogueRates(provider: CatalogueProvider, model: string, at: Date): Rates | null {
  const found = lookUp(provider, model, at);
  // Some entries are patterns ("ft:gpt-4o") whose own id is matched by another entry, or by none.
  if (found?.info.id !== model) return null;
  const { price } = found;
  if (price['input_mtok'] === undefined || price['output_mtok'] === undefined) return null;
  if (!Object.keys(price).every((key) => TOKEN_PRICES.has(key) || NEVER_ASKED_FOR.has(key))) return null;
  // The catalogue's steps begin above their start, ours at theirs.
  const starts = [...TOKEN_PRICES].flatMap((key) => stepsOf(price, key).map(({ start }) => start));
  const steps = [...new Set(starts)]
    .sort((a, b) => a - b)
    .map((start): RateStep => ({ fromTokens: start + 1, ...ratesAt(price, start + 1) }));
  return withDearest(ratesAt(price, 0), steps);
}

function stepsOf(price: ModelPrice, key: string): { start: number; price: number }[] {
  const value = price[key];
  return typeof value === 'object' ? value.tiers : [];
}

function ratesAt(price: ModelPrice, promptTokens: number): TokenRates {
  const at = (key: string): PicoUsd | undefined => {
    const value = price[key];
    if (value === undefined) return undefined;
    if (typeof value === 'number') return picoUsdPerToken(value);
    return picoUsdPerToken(value.tiers.findLast(({ start }) => promptTokens > start)?.price ?? value.base);
  };
  const input = at('input_mtok') ?? picoUsd(0n);
  const output = at('output_mtok') ?? picoUsd(0n);
  const cacheWrite = at('cache_write_mtok') ?? input;
  return {
    input,
    output,
    cacheRead: at('cache_read_mtok') ?? input,
    cacheWrite,
    cacheWriteLong: longWrite(input, cacheWrite, at('cache_write_1h_mtok')),
  };
}

/** A write for an hour or more: twice the input where its price is not known, as Anthropic has it; never below an ordinary write. */
function longWrite(input: PicoUsd, cacheWrite: PicoUsd, known: PicoUsd | undefined): PicoUsd {
  const long = known ?? picoUsd(2n * input);
  return long > cacheWrite ? long : cacheWrite;
}

function ratesFromConfig(prices: PricesConfig): Rates {
  const input = picoUsdPerToken(prices.input);
  const cacheWrite = picoUsdPerToken(prices.cacheWrite ?? prices.input);
  const rates = {
    input,
    output: picoUsdPerToken(prices.output),
    cacheRead: picoUsdPerToken(prices.cacheRead ?? prices.input),
    cacheWrite,
    cacheWriteLong: longWrite(input, cacheWrite, prices.cacheWriteLong === undefined ? undefined : picoUsdPerToken(prices.cacheWriteLong)),
  };
  return withDearest(rates, []);
}

function withDearest(rates: TokenRates, steps: readonly RateStep[]): Rates {
  const all = [rates, ...steps];
  const dearest = (amounts: PicoUsd[]) => amounts.reduce((a, b) => (a > b ? a : b));
  return {
    ...rates,
    dearestInput: dearest(all.flatMap(({ input, cacheRead, cacheWriteLong }) => [input, cacheRead, cacheWriteLong])),
    dearestOutput: dearest(all.map(({ output }) => output)),
    steps,
  };
}

/** USD per million tokens as pico-dollars a token, rounded up. */
function picoUsdPerToken(usdPerMillion: number): PicoUsd {
  return picoUsd(divideRoundingUp(picoUsdFromUsd(usdPerMillion), 1_000_000n));
}
