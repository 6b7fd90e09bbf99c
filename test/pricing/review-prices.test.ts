import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { catalogue, catalogueRates, openCatalogue } from '../../src/pricing/catalogue.ts';
import { warnOfHeldPrices } from '../../src/pricing/held-prices.ts';
import { KNOWN_PRICES_FILE, readKnownPrices, writeKnownPrices } from '../../src/pricing/known-prices.ts';
import type { ListedModels, ListedPrice } from '../../src/pricing/listed-price.ts';
import type { OwnPrices } from '../../src/pricing/own-prices.ts';
import { reviewPrices } from '../../src/pricing/review-prices.ts';

const NOW = Date.parse('2026-11-28T12:00:00Z');
const hours = { start: '01:00:00', end: '04:00:00' };
const own: OwnPrices = {
  models: new Map(),
  aliases: new Map(),
  without: new Set(),
  peaks: new Map([['busy', { hours: [hours], holidays: new Set<string>() }]]),
};
const list = (models: Record<string, ListedPrice[]>): ListedModels =>
  new Map(Object.entries(models).map(([name, prices]) => [name, { prices }]));
const flat = (input: number, output: number, more: Partial<ListedPrice> = {}): ListedPrice => ({ input, output, ...more });

let folder: string;
let file: URL;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'known-prices-'));
  file = pathToFileURL(path.join(folder, 'known.json'));
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => rmSync(file, { force: true }));

const review = (argv: string[], listed: ListedModels) => reviewPrices(argv, { listed, own, file, nowMs: NOW });

describe('what an update of the catalogue changes', () => {
  it.each<[string, ListedPrice[], ListedPrice[], boolean | null, RegExp]>([
    ['nothing', [flat(10, 20)], [flat(10, 20)], null, /those that are known/],
    ['a tenth more', [flat(10, 20)], [flat(11, 22)], false, /input: 10 → 11 USD per million tokens \(\+10 %\)/],
    ['a tenth less', [flat(10, 20)], [flat(9, 18)], false, /output: 20 → 18 USD/],
    ['more than a tenth more', [flat(10, 20)], [flat(11.01, 20)], true, /input: 10 → 11.01/],
    ['more than a tenth less', [flat(10, 20)], [flat(10, 17.9)], true, /output: 20 → 17.9 USD per million tokens \(-10 %\)/],
    ['one bucket of five', [flat(10, 20, { cacheRead: 1 })], [flat(10, 20, { cacheRead: 2 })], true, /cacheRead: 1 → 2/],
    ['something of nothing', [flat(0, 20)], [flat(0.1, 20)], true, /input: 0 → 0.1/],
    [
      'a long prompt’s price alone',
      [flat(10, 20)],
      [flat(10, 20, { steps: [{ fromTokens: 1_000, input: 20, output: 20 }] })],
      true,
      /input from 1000 prompt tokens: 10 → 20/,
    ],
    ['a price to come', [flat(10, 20)], [flat(10, 20), flat(20, 20, { from: '2027-01-01T00:00:00Z' })], true, /at 2027-01-01T00/],
    ['a price at some hours', [flat(10, 20)], [flat(10, 20), flat(20, 20, { hours })], true, /at 2026-11-29T01:00/],
    ['a price at peak hours', [flat(10, 20)], [flat(10, 20), flat(20, 20, { peak: 'busy' })], true, /at 2026-11-30T01:00/],
    ['a fee for searches', [flat(10, 20, { webSearches: 10 })], [flat(10, 20, { webSearches: 14 })], true, /webSearch: 0.01 → 0.014 USD a/],
    ['only what is over', [flat(1, 1), flat(10, 20, { from: '2026-01-01T00:00:00Z' })], [flat(10, 20)], null, /those that are known/],
  ])('is found: %s', (_what, before, after, held, said) => {
    writeKnownPrices(list({ 'openai/a': before }), file);
    const { exitCode, lines } = review([], list({ 'openai/a': after }));
    expect(lines.join('\n')).toMatch(said);
    expect(exitCode).toBe(held === true ? 1 : 0);
    expect(/held back/.test(lines.join('\n'))).toBe(held === true);
  });

  it('are new models and those that are gone, and neither is held back', () => {
    writeKnownPrices(list({ 'openai/old': [flat(1, 2)] }), file);
    const { exitCode, lines } = review([], list({ 'openai/young': [flat(1, 2)] }));
    expect([exitCode, lines.filter((line) => line.startsWith('  '))]).toEqual([0, ['  openai/young', '  openai/old']]);
  });

  it('is everything where nothing is known yet', () => {
    expect(review([], list({ 'openai/a': [flat(1, 2)] }))).toMatchObject({
      exitCode: 0,
      lines: ['', expect.stringMatching(/^New/), '  openai/a'],
    });
  });
});

describe('a confirmation', () => {
  const after = list({ 'openai/a': [flat(20, 20)], 'openai/b': [flat(40, 40)], 'openai/young': [flat(1, 1)] });
  beforeEach(() => writeKnownPrices(list({ 'openai/a': [flat(10, 10)], 'openai/b': [flat(20, 20)], 'openai/old': [flat(1, 1)] }), file));

  it('is for the models named, and for no other', () => {
    expect(review(['--confirm', 'openai/a'], after).exitCode).toBe(1);
    expect([...readKnownPrices(file)].map(([name, { prices }]) => [name, prices[0]?.input])).toEqual([
      ['openai/a', 20],
      ['openai/b', 20],
      ['openai/old', 1],
    ]);
    expect(review(['--confirm', 'openai/b', '--confirm', 'openai/old', '--confirm', 'openai/young'], after)).toMatchObject({ exitCode: 0 });
    expect(readKnownPrices(file)).toEqual(after);
  });

  it('may be for all of them', () => {
    expect(review(['--confirm-all'], after).exitCode).toBe(0);
    expect(readKnownPrices(file)).toEqual(after);
  });

  it.each([
    ['a model without a change', ['--confirm', 'openai/c']],
    ['one of two', ['--confirm', 'openai/a', '--confirm', 'openai/c']],
    ['an unknown option', ['--yes']],
    ['no option', ['openai/a']],
  ])('of %s changes nothing and exits with 2', (_what, argv) => {
    const before = readFileSync(file, 'utf8');
    expect(review(argv, after).exitCode).toBe(2);
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  it.each(['', '{', '[]', '{"openai/a":[{"input":-1,"output":2}]}'])('is not made where what is known makes no sense: %s', (text) => {
    writeFileSync(file, text);
    expect(review(['--confirm-all'], after).exitCode).toBe(2);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
});

describe('what is charged until then', () => {
  const rates = (before: ListedPrice[], after: ListedPrice[], at = NOW) => {
    const open = openCatalogue(list({ 'openai/a': after }), own, list({ 'openai/a': before }), NOW);
    return catalogueRates(open, at).get('openai/a');
  };

  it.each<[string, ListedPrice, ListedPrice, bigint, bigint]>([
    ['the known price where the listed one is much lower', flat(10, 20), flat(1, 2), 10_000_000n, 20_000_000n],
    ['the listed one where that is much higher: the house never pays in', flat(1, 2), flat(10, 20), 10_000_000n, 20_000_000n],
    ['the dearer of each where one rises and one falls', flat(10, 20), flat(5, 40), 10_000_000n, 40_000_000n],
    ['the listed one where it is a little lower', flat(10, 20), flat(9.5, 19), 9_500_000n, 19_000_000n],
    ['the listed one where it is a little higher', flat(10, 20), flat(10.5, 21), 10_500_000n, 21_000_000n],
  ])('is %s', (_what, before, after, input, output) => {
    expect(rates([before], [after])).toMatchObject({ input, output, dearestOutput: output });
  });

  it('is the dearer band of each prompt length', () => {
    const step = (fromTokens: number, input: number) => ({ steps: [{ fromTokens, input, output: 1 }] });
    const held = rates([flat(1, 1, step(200, 5))], [flat(2, 1, step(100, 4))]);
    expect([held?.input, held?.steps.map(({ fromTokens, input }) => [fromTokens, input])]).toEqual([
      2_000_000n,
      [
        [100, 4_000_000n],
        [200, 5_000_000n],
      ],
    ]);
  });

  it('follows the dates of both', () => {
    const before = [flat(10, 10), flat(30, 10, { from: '2027-01-01T00:00:00Z' })];
    const after = [flat(20, 10)];
    expect(rates(before, after)?.input).toBe(20_000_000n);
    expect(rates(before, after, Date.parse('2027-01-01T00:00:00Z'))?.input).toBe(30_000_000n);
  });

  it('is nothing where the model is no longer listed: it is refused', () => {
    const open = openCatalogue(list({}), own, list({ 'openai/a': [flat(1, 1)] }), NOW);
    expect([...catalogueRates(open, NOW)]).toEqual([]);
  });
});

describe('the log at the start', () => {
  const warned = (before: ListedPrice[], after: ListedPrice[]) => {
    const lines: unknown[][] = [];
    const { changes } = openCatalogue(list({ 'openai/a': after }), own, list({ 'openai/a': before }), NOW);
    warnOfHeldPrices({ warn: (...line: unknown[]) => void lines.push(line) }, changes);
    return lines;
  };

  it('names each model whose price is held back', () => {
    expect(warned([flat(10, 20)], [flat(5, 20)])).toEqual([
      [
        {
          models: {
            'openai/a': [
              'input: 10 → 5 USD per million tokens (-50 %), at 2026-11-28T12:00:00.000Z',
              expect.any(String),
              expect.any(String),
              expect.any(String),
            ],
          },
        },
        expect.stringContaining('npm run prices'),
      ],
    ]);
  });

  it('is silent where none is', () => expect(warned([flat(10, 20)], [flat(10.5, 20)])).toEqual([]));
});

describe('the known prices of this release', () => {
  it('are those of its catalogue: nothing is held back', () => {
    expect(catalogue().changes).toEqual([]);
  });

  it('are told by the command, which needs no network and no database', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['src/prices.ts'], { env: {} });
    expect(stdout).toBe('The prices are those that are known.\n');
  });

  it('are written as they are read', () => {
    writeKnownPrices(readKnownPrices(), file);
    expect(readFileSync(file, 'utf8')).toBe(readFileSync(KNOWN_PRICES_FILE, 'utf8'));
  });
});
