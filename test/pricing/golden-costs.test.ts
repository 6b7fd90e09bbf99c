import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { calcPrice } from '@pydantic/genai-prices';
import { parse as parseYaml } from 'yaml';
import { catalogueEntry, compilePrices, type CatalogueProvider } from '../../src/pricing/catalogue.ts';
import { costOfUsage } from '../../src/pricing/cost.ts';

interface IndexedUsage {
  uncachedInput: number;
  cachedRead: number;
  cacheWrite: number;
  cacheWrite1h?: number;
  output: number;
  reasoning: number | null;
}

interface Entry {
  file: string;
  provider: string;
  usage: IndexedUsage | null;
  path?: string;
}

type Numbers = Record<string, number>;

const folder = fileURLToPath(new URL('../../../shared/transcripts/', import.meta.url));
const index = existsSync(folder) ? (JSON.parse(readFileSync(`${folder}index.json`, 'utf8')) as Entry[]) : [];
/** At no peak, long after every change of the models that were recorded. */
const AT = new Date('2026-11-28T12:00:00Z');
const PACKAGE_NAMES: Record<string, string> = {
  anthropic: 'anthropic',
  deepseek: 'deepseek',
  gemini: 'google',
  groq: 'groq',
  moonshot: 'moonshotai',
  openai: 'openai',
};
const OWN = (
  parseYaml(readFileSync(new URL('../../src/pricing/own-prices.yaml', import.meta.url), 'utf8'), { schema: 'core' }) as {
    models: Record<string, { prices: Numbers[] }>;
  }
).models;

const cards = compilePrices({ prices: {}, deployments: [] }, AT);

/** The model that answered, as the answer says it. */
function modelOf({ file, path = '' }: Entry): string | undefined {
  const text = readFileSync(`${folder}${file}`, 'utf8');
  return /"(?:model|modelVersion)"\s*:\s*"([^"]+)"/.exec(text)?.[1] ?? /models\/([^:]+):/.exec(path)?.[1];
}

/** The cost in pico-dollars by the sources' own numbers, in plain arithmetic. */
function costByHand(provider: string, id: string, model: string, usage: IndexedUsage): number {
  const own = OWN[`${provider}/${id}`]?.prices[0];
  if (own) {
    const { input = 0, output = 0, cacheRead = input, cacheWrite = input } = own;
    return (usage.uncachedInput * input + usage.cachedRead * cacheRead + usage.cacheWrite * cacheWrite + usage.output * output) * 1e6;
  }
  const counted = {
    input_tokens: usage.uncachedInput + usage.cachedRead + usage.cacheWrite,
    cache_read_tokens: usage.cachedRead,
    cache_write_tokens: usage.cacheWrite,
    output_tokens: usage.output,
  };
  return (calcPrice(counted, model, { providerId: PACKAGE_NAMES[provider] ?? '', timestamp: AT })?.total_price ?? NaN) * 1e12;
}

const priced = index.flatMap((entry) => {
  const { usage, file } = entry;
  const provider = file.startsWith('openai') ? 'openai' : entry.provider;
  const model = modelOf(entry);
  if (!usage || model === undefined || !(provider in PACKAGE_NAMES)) return [];
  const id = catalogueEntry(provider as CatalogueProvider, model)?.id;
  const card = [model, id].map((name) => cards.get(`${provider}/${name}`)).find((found) => found !== undefined);
  return id !== undefined && card ? [{ file, usage, provider, model, id, card }] : [];
});

if (index.length === 0) it.skip('recorded answers: there are none beside the project', () => undefined);
else
  describe('the cost of a recorded answer', () => {
    it.each(priced)('is its tokens at the prices of its model: $file, $model', ({ usage, provider, model, id, card }) => {
      const long = usage.cacheWrite1h ?? 0;
      expect(long).toBe(0);
      const counted = {
        input: usage.uncachedInput,
        cacheRead: usage.cachedRead,
        cacheWrite: usage.cacheWrite,
        cacheWriteLong: 0,
        output: usage.output,
        reasoning: usage.reasoning ?? 0,
      };
      const { totalPicoUsd } = costOfUsage(counted, { priceVersion: 1, ...card }, 0n);
      expect(Number(totalPicoUsd)).toBe(Math.round(costByHand(provider, id, model, usage)));
    });

    it('is known of most of them', () => {
      expect(priced.length).toBeGreaterThanOrEqual(120);
      expect(new Set(priced.map(({ provider }) => provider))).toEqual(new Set(Object.keys(PACKAGE_NAMES)));
    });
  });
