import { describe, expect, it } from '@jest/globals';
import { catalogueEntry, compilePrices, openCatalogue, type CatalogueProvider } from '../../src/pricing/catalogue.ts';
import { readOwnPrices } from '../../src/pricing/own-prices.ts';
import { packageModels } from '../../src/pricing/package-prices.ts';

const compile = (at: string, prices = {}) => compilePrices({ prices, deployments: [] }, new Date(at));
const NOW = '2026-11-28T12:00:00Z';

describe('the prices that the package lacks', () => {
  it.each([
    ['openai/gpt-6.1-sol', [2, 10, 0.1, 2.5, 5], 272_001, [4, 15, 0.2, 5, 10]],
    ['openai/gpt-6.2-sol', [2, 10, 0.1, 2.5, 5], 272_001, [4, 15, 0.2, 5, 10]],
    ['openai/gpt-6.1-terra', [1, 5, 0.05, 1.25, 2.5], 272_001, [2, 7.5, 0.1, 2.5, 5]],
    ['openai/gpt-6.2-astra', [8, 40, 0.4, 10, 20], 272_001, [16, 60, 0.8, 20, 40]],
    ['anthropic/claude-fable-5-1', [10, 50, 0.25, 12.5, 20], null, []],
    ['anthropic/claude-opus-5-5', [4, 20, 0.2, 5, 8], null, []],
    ['anthropic/claude-sonnet-5-5', [2, 10, 0.1, 2.5, 4], null, []],
    ['anthropic/claude-haiku-5-5', [0.1, 0.5, 0.01, 0.125, 0.2], 100_001, [0.5, 2.5, 0.05, 0.625, 1]],
    ['gemini/gemini-4-argon', [2, 10, 0.1, 2, 4], null, []],
    ['moonshot/kimi-k3.1-pro', [2, 10, 0.2, 2, 4], null, []],
    ['moonshot/kimi-k3.1-pro-highspeed', [4, 20, 0.2, 4, 8], null, []],
  ] as const)('are those of %s', (model, rates, from, stepRates) => {
    const card = compile(NOW).get(model);
    const pico = (usd: readonly number[]) => usd.map((amount) => BigInt(Math.round(amount * 1_000_000)));
    const ratesOf = (some: NonNullable<typeof card>['steps'][number] | typeof card) =>
      some && [some.input, some.output, some.cacheRead, some.cacheWrite, some.cacheWriteLong];
    expect(ratesOf(card)).toEqual(pico(rates));
    expect(card?.steps.map((step) => [step.fromTokens, ratesOf(step)])).toEqual(from === null ? [] : [[from, pico(stepRates)]]);
  });

  it.each([
    ['one millisecond before December', '2026-11-30T23:59:59.999Z', 2_000_000n],
    ['in December', '2026-12-01T00:00:00Z', 4_000_000n],
  ])('change by date: %s', (_when, at, input) => {
    for (const model of ['gemini/gemini-4-argon', 'gemini/gemini-4-carbon']) expect(compile(at).get(model)?.input).toBe(input);
  });

  it.each([
    ['a Friday before the peak', '2026-11-27T00:59:59.999Z', false],
    ['its first peak', '2026-11-27T01:00:00Z', true],
    ['the pause after that', '2026-11-27T04:00:00Z', false],
    ['the second peak', '2026-11-27T06:00:00Z', true],
    ['its last moment', '2026-11-27T09:59:59.999Z', true],
    ['the evening', '2026-11-27T10:00:00Z', false],
    ['a Saturday', '2026-11-28T02:00:00Z', false],
    ['a Sunday', '2026-11-29T07:00:00Z', false],
    ['a holiday in the week', '2026-10-01T02:00:00Z', false],
    ['the last day of a holiday', '2026-10-07T07:00:00Z', false],
    ['the day after', '2026-10-08T07:00:00Z', true],
    ['a holiday of a year whose list is not out yet', '2027-10-01T02:00:00Z', true],
  ])('change by the hour of a working day: %s', (_when, at, peak) => {
    const prices = compile(at);
    expect(prices.get('deepseek/deepseek-flash')).toMatchObject(
      peak ? { input: 300_000n, output: 1_200_000n, cacheRead: 6_000n } : { input: 150_000n, output: 600_000n, cacheRead: 3_000n },
    );
    expect(prices.get('deepseek/deepseek-v4-pro')).toMatchObject(
      peak ? { input: 1_320_000n, output: 3_960_000n, cacheRead: 44_000n } : { input: 660_000n, output: 1_980_000n, cacheRead: 22_000n },
    );
  });

  it('tell which search fee they know', () => {
    expect(compile(NOW).get('anthropic/claude-haiku-5-5')?.webSearch).toBe(10_000_000_000n);
    expect(compile(NOW).get('moonshot/kimi-k3.1-pro')?.webSearch).toBeUndefined();
  });

  it('stand before the package’s, and take away those that are wrong', () => {
    const listed = new Map([
      ['openai/a', { prices: [{ input: 1, output: 1 }] }],
      ['openai/b', { prices: [{ input: 1, output: 1 }] }],
    ]);
    const own = readOwnPrices(`
peaks: {}
without: [openai/b]
models:
  openai/a: { source: here, read: 2026-01-01, contextWindow: 1, prices: [{ input: 7, output: 8 }] }
`);
    expect(Object.fromEntries(openCatalogue(listed, own, listed, 0).models)).toEqual({
      'openai/a': { contextWindow: 1, prices: [{ input: 7, output: 8 }] },
    });
  });

  it.each([
    ['an unknown member', 'openai/a: { source: here, read: 2026-01-01, contextWindow: 1, prices: [{ input: 7, output: 8, outputs: 9 }] }'],
    ['no source', 'openai/a: { read: 2026-01-01, contextWindow: 1, prices: [{ input: 7, output: 8 }] }'],
    ['no price', 'openai/a: { source: here, read: 2026-01-01, contextWindow: 1, prices: [] }'],
    ['a negative price', 'openai/a: { source: here, read: 2026-01-01, contextWindow: 1, prices: [{ input: -7, output: 8 }] }'],
  ])('are refused with %s', (_what, model) => {
    expect(() => readOwnPrices(`peaks: {}\nwithout: []\nmodels:\n  ${model}\n`)).toThrow();
  });
});

describe('the catalogue’s entry', () => {
  it.each<[CatalogueProvider, string, string | undefined]>([
    ['anthropic', 'claude-sonnet-5-5', 'claude-sonnet-5-5'],
    ['anthropic', 'claude-sonnet-5-5-20260928', 'claude-sonnet-5-5'],
    // The package has it that this is a Sonnet 5.
    ['anthropic', 'claude-sonnet-5-6', undefined],
    ['anthropic', 'claude-sonnet-4-20250514', 'claude-sonnet-4-0'],
    ['anthropic', 'claude-haiku-4-5-20251001', 'claude-haiku-4-5'],
    ['openai', 'gpt-6.2-sol-2026-11-19', 'gpt-6.2-sol'],
    ['openai', 'gpt-4-1106-preview', 'gpt-4-turbo'],
    ['openai', 'gpt-4-0613', 'gpt-4'],
    ['openai', 'gpt-5-nano-2025-08-07', 'gpt-5-nano'],
    ['gemini', 'gemini-2.5-pro-preview-05-06', 'gemini-2.5-pro'],
    ['gemini', 'claude-opus-5', undefined],
    ['groq', 'openai/gpt-oss-20b', 'openai/gpt-oss-20b'],
    ['moonshot', 'kimi-k2.5-large', undefined],
    ['deepseek', 'deepseek-v4-flash', 'deepseek-flash'],
    ['deepseek', 'deepseek-chat', undefined],
  ])('of %s for %s is %s', (provider, model, id) => expect(catalogueEntry(provider, model)?.id).toBe(id));
});

describe('the catalogue', () => {
  const models = [...compile(NOW).keys()];

  it.each(['openai', 'anthropic', 'gemini', 'groq', 'deepseek', 'moonshot'])('has prices of %s', (provider) => {
    expect(models.some((name) => name.startsWith(`${provider}/`))).toBe(true);
  });

  it('prices embeddings by their input alone', () => {
    expect(compile(NOW).get('openai/text-embedding-3-small')).toMatchObject({ input: 20_000n, output: 0n });
    expect(compile(NOW).get('gemini/gemini-embedding-001')).toMatchObject({ input: 150_000n, output: 0n });
  });

  it.each([
    'openai/gpt-audio',
    'openai/gpt-4o-search-preview',
    'openai/gpt-4o-transcribe',
    'gemini/gemini-3-pro-image-preview',
    'groq/whisper-large-v3',
    'deepseek/deepseek-reasoner',
  ])('leaves out %s', (model) => expect(models).not.toContain(model));

  it('has everything that the package prices by tokens, but for what it names', () => {
    const { without, models: own } = readOwnPrices();
    const listed = [...packageModels().keys()];
    expect(models.filter((name) => !name.startsWith('demo/')).sort()).toEqual(
      [...new Set([...listed.filter((name) => !without.has(name)), ...own.keys()])].sort(),
    );
    // What is taken away is there to be taken away.
    expect(listed).toEqual(expect.arrayContaining([...without]));
  });
});

describe('the operator’s prices', () => {
  it.each([
    ['a model’s own name', 'gpt-4o', 'openai/gpt-4o'],
    ['that of another provider’s model', 'claude-haiku-5-5', 'anthropic/claude-haiku-5-5'],
    ['a provider and its model', 'groq/openai/gpt-oss-20b', 'groq/openai/gpt-oss-20b'],
    ['a provider’s model that nobody lists', 'anthropic/claude-opus-9', 'anthropic/claude-opus-9'],
    ['a name that nobody lists', 'gpt-99', 'openai/gpt-99'],
    ['the demo’s', 'demo-cheap', 'demo/demo-cheap'],
  ])('are for %s', (_what, name, priced) => {
    const prices = compile(NOW, { [name]: { input: 77, output: 88 } });
    expect([...prices].filter(([, { input }]) => input === 77_000_000n).map(([key]) => key)).toEqual([priced]);
  });

  it('may have steps, which need not be in order', () => {
    const step = (fromTokens: number, input: number) => ({ fromTokens, input, output: 2 * input });
    const card = compile(NOW, { 'gpt-4o': { input: 1, output: 2, steps: [step(500, 4), step(100, 3)] } }).get('openai/gpt-4o');
    expect(card?.steps.map(({ fromTokens, input, cacheWriteLong }) => [fromTokens, input, cacheWriteLong])).toEqual([
      [100, 3_000_000n, 6_000_000n],
      [500, 4_000_000n, 8_000_000n],
    ]);
    expect([card?.dearestInput, card?.dearestOutput]).toEqual([8_000_000n, 8_000_000n]);
  });

  it('for nobody stop the start', () => {
    expect(() => compile(NOW, { 'pureai/gone': { input: 1, output: 2 } })).toThrow(/prices\.pureai\/gone: is neither/);
  });
});
