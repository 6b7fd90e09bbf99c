import type { Config } from '../config/config.ts';
import type { PricesConfig } from '../config/gateway-file.ts';
import { settingError, type SettingProblem } from '../config/setting-problem.ts';
import { readKnownPrices } from './known-prices.ts';
import type { ListedModels, ListedPrice } from './listed-price.ts';
import { readOwnPrices, type OwnPrices } from './own-prices.ts';
import { CATALOGUE_PROVIDERS, packageModel, packageModels, withoutVersion, type CatalogueProvider } from './package-prices.ts';
import { priceChanges, type PriceChange } from './price-changes.ts';
import { nextTurn, priceAt } from './price-times.ts';
import { compileRates, dearerRates, type Rates } from './rates.ts';

export type { CatalogueProvider } from './package-prices.ts';
export type { Rates } from './rates.ts';

/** All prices in force, by `<provider>/<model>`: the same set on every gateway of a configuration. */
export type Prices = ReadonlyMap<string, Rates>;

/** A price of the catalogue, and the name under which the catalogue lists the model that was asked for. */
export interface CatalogueEntry {
  readonly id: string;
  readonly contextWindow: number | undefined;
}

/** The demo's models have prices like real ones, so that costs, budgets and tiers show. USD per million tokens. */
const DEMO_PRICES: Readonly<Record<string, PricesConfig>> = {
  'demo-cheap': { input: 0.1, output: 0.4, cacheRead: 0.025 },
  'demo-mid': { input: 1, output: 4, cacheRead: 0.25 },
  'demo-premium': { input: 5, output: 20, cacheRead: 1.25 },
  'demo-embedding': { input: 0.02, output: 0 },
};

/** The package's prices and, before them, the project's own. */
export interface Catalogue {
  readonly models: ListedModels;
  readonly own: OwnPrices;
  /** The prices of the last confirmation, and how these differ from them. */
  readonly known: ListedModels;
  readonly changes: readonly PriceChange[];
}

let read: Catalogue | undefined;

/** The catalogue of this release, read once. */
export function catalogue(): Catalogue {
  return (read ??= openCatalogue(packageModels(), readOwnPrices(), readKnownPrices(), Date.now()));
}

export function openCatalogue(listed: ListedModels, own: OwnPrices, known: ListedModels, atMs: number): Catalogue {
  const models = new Map([...listed].filter(([name]) => !own.without.has(name)));
  for (const [name, model] of own.models) models.set(name, model);
  return { models, own, known, changes: priceChanges(known, models, own.peaks, atMs) };
}

/** The catalogue's prices in force at `atMs`: where a large change is not confirmed, the dearer of both. */
export function catalogueRates({ models, own, known, changes }: Catalogue, atMs: number): Map<string, Rates> {
  const held = new Set(changes.filter((change) => change.held).map(({ model }) => model));
  const compiled = new Map<string, Rates>();
  for (const [name, { prices }] of models) {
    const price = priceAt(prices, atMs, own.peaks);
    const before = held.has(name) ? priceAt(known.get(name)?.prices ?? [], atMs, own.peaks) : undefined;
    if (price) compiled.set(name, before ? dearerRates(compileRates(price), compileRates(before)) : compileRates(price));
  }
  return compiled;
}

/** What of a configuration sets prices. */
export type PricedConfig = Pick<Config, 'prices' | 'deployments'> & Partial<Pick<Config, 'locate'>>;

/**
 * Compiles the catalogue's prices of `at` and the operator's own to integers. A model whose price is not known, or is
 * not by the token alone, is left out: it cannot be served. Throws ConfigError for a price of the operator's that is nobody's.
 */
export function compilePrices({ prices, deployments, locate }: PricedConfig, at: Date = new Date()): Prices {
  const compiled = catalogueRates(catalogue(), at.getTime());
  for (const [model, own] of Object.entries(DEMO_PRICES)) compiled.set(`demo/${model}`, ratesFromConfig(own));
  for (const { id, prices: own } of deployments) compiled.set(`pureai/${id}`, ratesFromConfig(own));
  const problems: SettingProblem[] = [];
  for (const [name, own] of Object.entries(prices)) {
    const priced = pricedName(name, compiled);
    if (priced !== undefined) compiled.set(priced, ratesFromConfig(own));
    else problems.push({ path: ['prices', name], message: "is neither a deployment nor a public provider's model", part: 'name' });
  }
  if (problems.length > 0) throw settingError(problems, locate);
  return compiled;
}

/** When a price of the catalogue next changes after `afterMs`, or may; Unix milliseconds, Infinity where none ever does. */
export function nextPriceChange(afterMs: number): number {
  const { models, known, own } = catalogue();
  return nextTurn(allPrices(models, known), afterMs, own.peaks);
}

function* allPrices(...lists: ListedModels[]): Generator<ListedPrice> {
  for (const { prices } of lists.flatMap((models) => [...models.values()])) yield* prices;
}

/** The catalogue's entry for a model id as a provider takes it (dated ids and aliases included); null where it has none. */
export function catalogueEntry(provider: CatalogueProvider, model: string): CatalogueEntry | null {
  const { models, aliases, without } = catalogue().own;
  for (const id of [model, withoutVersion(model)]) {
    const name = aliases.get(`${provider}/${id}`) ?? `${provider}/${id}`;
    const own = models.get(name);
    if (own) return { id: name.slice(provider.length + 1), contextWindow: own.contextWindow };
  }
  const found = packageModel(provider, model);
  return found && !without.has(`${provider}/${found.id}`) ? { id: found.id, contextWindow: found.context_window } : null;
}

/**
 * The name among the compiled prices for a name of the operator's: `<provider>/<model>`, `pureai/<deployment>`, or a model's own,
 * which is that of the provider who has it, else OpenAI's; undefined for the name of neither.
 */
function pricedName(name: string, compiled: Prices): string | undefined {
  if (compiled.has(name)) return name;
  const provider = name.slice(0, Math.max(0, name.indexOf('/')));
  if (CATALOGUE_PROVIDERS.some((known) => known === provider)) return name;
  if (provider !== '') return undefined;
  const owner = ['demo', ...CATALOGUE_PROVIDERS].find((known) => compiled.has(`${known}/${name}`)) ?? 'openai';
  return `${owner}/${name}`;
}

/** A write for an hour or more costs twice the input where the operator does not say, or the ordinary write where that is dearer. */
function ratesFromConfig(prices: PricesConfig): Rates {
  const long = ({ input, cacheWrite = 0, cacheWriteLong = Math.max(2 * input, cacheWrite) }: ListedPrice) => cacheWriteLong;
  const steps = prices.steps?.map((step) => ({ ...step, cacheWriteLong: long(step) }));
  return compileRates({ ...prices, cacheWriteLong: long(prices), steps });
}
