import { calcPrice, findProvider, type ConditionalPrice, type ModelInfo, type ModelPrice } from '@pydantic/genai-prices';
import type { ListedModel, ListedModels, ListedPrice, ListedRates, ListedStep } from './listed-price.ts';

/** Public providers whose prices are compiled, by the names under which the package lists them. */
const PACKAGE_NAMES = {
  openai: 'openai',
  anthropic: 'anthropic',
  gemini: 'google',
  groq: 'groq',
  deepseek: 'deepseek',
  moonshot: 'moonshotai',
} as const;
export type CatalogueProvider = keyof typeof PACKAGE_NAMES;

export const CATALOGUE_PROVIDERS = Object.keys(PACKAGE_NAMES) as readonly CatalogueProvider[];

const TOKEN_PRICES = {
  input: 'input_mtok',
  output: 'output_mtok',
  cacheRead: 'cache_read_mtok',
  cacheWrite: 'cache_write_mtok',
  cacheWriteLong: 'cache_write_1h_mtok',
} as const;

/** Extras that the gateway never asks for, so that they cannot be billed: searches by the provider, and audio and video in a prompt. */
const NEVER_ASKED_FOR = ['web_searches_kcount', 'storage_searches_kcount', 'input_audio_mtok', 'cache_audio_read_mtok', 'input_video_mtok'];
const KNOWN_PRICES: ReadonlySet<string> = new Set([...Object.values(TOKEN_PRICES), ...NEVER_ASKED_FOR]);
/** What is embedded is text: pictures have prices of their own, and none are sent. */
const KNOWN_EMBEDDING_PRICES: ReadonlySet<string> = new Set([...KNOWN_PRICES, 'input_image_mtok']);

/** Every model of the package that is priced by its tokens alone; embeddings have no output. */
export function packageModels(): ListedModels {
  const models = new Map<string, ListedModel>();
  for (const provider of CATALOGUE_PROVIDERS) {
    for (const info of packageInfos(provider)) {
      const prices = listedPrices(info);
      // Some entries are patterns ("ft:gpt-4o") whose own id is matched by another entry, or by none.
      if (prices && matching(provider, info.id)?.id === info.id)
        models.set(`${provider}/${info.id}`, { contextWindow: info.context_window, prices });
    }
  }
  return models;
}

/** The package's own entry for a model id as a provider takes it, dated ids and aliases included; undefined where it has none. */
export function packageModel(provider: CatalogueProvider, model: string): ModelInfo | undefined {
  const found = matching(provider, model);
  if (!found) return undefined;
  // Many entries match whatever begins like them, also a later model with other prices: `claude-sonnet-5-5` is no `claude-sonnet-5`.
  const names = [found.id, ...namesIn(found.match)].map(withoutVersion);
  return names.includes(withoutVersion(model)) ? found : undefined;
}

/** An id without what tells its releases apart: dates, `latest`, `preview`. */
export function withoutVersion(model: string): string {
  return model.replace(/(?:-(?:latest|preview|exp|\d{2,8}))+$/, '');
}

function packageInfos(provider: CatalogueProvider): ModelInfo[] {
  const infos = findProvider({ providerId: PACKAGE_NAMES[provider] })?.models ?? [];
  // Google's list has the models of others too, as its cloud sells them.
  return provider === 'gemini' ? infos.filter(({ id }) => id.startsWith('gemini-')) : infos;
}

function matching(provider: CatalogueProvider, model: string): ModelInfo | undefined {
  const name = PACKAGE_NAMES[provider];
  const found = calcPrice({ input_tokens: 0, output_tokens: 0 }, model, { providerId: name });
  return found?.provider.id === name && packageInfos(provider).includes(found.model) ? found.model : undefined;
}

function namesIn(match: ModelInfo['match']): string[] {
  if ('or' in match) return match.or.flatMap(namesIn);
  if ('equals' in match) return [match.equals];
  return 'starts_with' in match ? [match.starts_with] : [];
}

/** Null where some of the prices are by something else than tokens, or not known. */
function listedPrices({ id, prices }: ModelInfo): ListedPrice[] | null {
  const embeds = id.includes('embedding');
  const known = embeds ? KNOWN_EMBEDDING_PRICES : KNOWN_PRICES;
  const all: ConditionalPrice[] = Array.isArray(prices) ? prices : [{ prices }];
  const priced = all.every(
    ({ prices: some }) =>
      some[TOKEN_PRICES.input] !== undefined &&
      (embeds || some[TOKEN_PRICES.output] !== undefined) &&
      Object.keys(some).every((key) => known.has(key)),
  );
  return priced && all.length > 0 ? all.map(listedPrice) : null;
}

function listedPrice({ constraint, prices }: ConditionalPrice): ListedPrice {
  // The package's steps begin above their start, ours at theirs.
  const starts = Object.values(TOKEN_PRICES).flatMap((key) => stepsOf(prices, key).map(({ start }) => start + 1));
  const steps = [...new Set(starts)]
    .sort((a, b) => a - b)
    .map((fromTokens): ListedStep => ({ fromTokens, ...ratesAt(prices, fromTokens) }));
  const searches = prices['web_searches_kcount'];
  return {
    ...(constraint?.type === 'start_date' ? { from: new Date(constraint.start_date).toISOString() } : {}),
    ...(constraint?.type === 'time_of_date' ? { hours: { start: timeOf(constraint.start_time), end: timeOf(constraint.end_time) } } : {}),
    ...ratesAt(prices, 0),
    ...(steps.length > 0 ? { steps } : {}),
    ...(typeof searches === 'number' ? { webSearches: searches } : {}),
  };
}

function timeOf(time: string): string {
  return time.replace(/Z$/, '');
}

function stepsOf(price: ModelPrice, key: string): { start: number; price: number }[] {
  const value = price[key];
  return typeof value === 'object' ? value.tiers : [];
}

function ratesAt(price: ModelPrice, promptTokens: number): ListedRates {
  const at = (key: string): number | undefined => {
    const value = price[key];
    if (typeof value !== 'object') return value;
    return value.tiers.findLast(({ start }) => promptTokens > start)?.price ?? value.base;
  };
  const rates = Object.entries(TOKEN_PRICES).flatMap(([name, key]) => {
    const usd = at(key);
    return usd === undefined ? [] : [[name, usd] as const];
  });
  return { input: 0, output: 0, ...Object.fromEntries(rates) };
}
