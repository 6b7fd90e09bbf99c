import { describe, expect, it } from '@jest/globals';
import { pairedBars, stackedBars, withOther, type Chart } from '../../../src/http/pages/charts.ts';

const sats = (value: number) => `${value} sats`;
const chart = (more: Partial<Chart> = {}): Chart => ({
  id: 'spent',
  title: 'Spent by model',
  bucket: 'Hour',
  buckets: ['10:00', '11:00', '12:00'],
  series: [
    { name: 'small', values: [1, 0, 3] },
    { name: 'large', values: [4, 0, 5] },
  ],
  format: sats,
  ...more,
});

interface Drawn {
  colour: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

function barsOf(html: string): Drawn[] {
  return [...html.matchAll(/<rect class="(s\d)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/g)].map(
    ([, colour = '', ...numbers]) => {
      const [x = NaN, y = NaN, width = NaN, height = NaN] = numbers.map(Number);
      return { colour, x, y, width, height };
    },
  );
}

/** The words of each row of the table. */
function rowsOf(html: string): string[][] {
  return [...html.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row = '']) => [...row.matchAll(/>([^<]+)</g)].map(([, word = '']) => word));
}

describe('stacked bars', () => {
  it('stand on each other, the largest series below, and the highest bar fills the height', () => {
    const bars = barsOf(stackedBars(chart()));
    expect(bars).toHaveLength(4);
    const last = bars.filter(({ x }) => x === 21).toSorted((a, b) => b.y - a.y);
    expect(last.map(({ colour, y, height }) => [colour, y, height])).toEqual([
      ['s1', 37.5, 62.5],
      ['s2', 0, 37.5],
    ]);
  });

  it('tell every figure in the table, with totals that add up', () => {
    expect(rowsOf(stackedBars(chart()))).toEqual([
      ['Hour', 'large', 'small', 'Total'],
      ['10:00', '4 sats', '1 sats', '5 sats'],
      ['11:00', '0 sats', '0 sats', '0 sats'],
      ['12:00', '5 sats', '3 sats', '8 sats'],
      ['Total', '9 sats', '4 sats', '13 sats'],
    ]);
  });

  it('say in words what is seen', () => {
    const html = stackedBars(chart());
    expect(html).toContain('Highest 8 sats at 12:00, lowest 0 sats at 11:00, 13 sats in all.');
    expect(html).toMatch(/<svg role="img" aria-labelledby="spent-title" aria-describedby="spent-desc"/);
    expect(stackedBars(chart({ series: [] }))).toContain('Nothing in this period.');
  });

  it('draw nothing for nothing, and something for whatever is more than that', () => {
    const bars = barsOf(stackedBars(chart({ series: [{ name: 'a', values: [1_000_000, 0, 1] }] })));
    expect(bars.map(({ height }) => height)).toEqual([100, 0.5]);
  });

  it('need no inline style, and show names as they are', () => {
    const html = stackedBars(chart({ series: [{ name: `<b>"&'`, values: [1, 2, 3] }] }));
    expect(html).not.toMatch(/style=|<b>/);
    expect(html).toContain('&lt;b&gt;&quot;&amp;&#39;');
  });
});

describe('more series than colours', () => {
  const many = Array.from({ length: 7 }, (_, index) => ({ name: `m${index}`, values: [index, 1] }));

  it('are the four largest and one for the others, and lose no figure', () => {
    const shown = withOther(many);
    expect(shown.map(({ name }) => name)).toEqual(['m6', 'm5', 'm4', 'm3', 'other']);
    expect(shown.at(-1)?.values).toEqual([0 + 1 + 2, 3]);
    const html = stackedBars(chart({ buckets: ['a', 'b'], series: many }));
    expect(new Set(barsOf(html).map(({ colour }) => colour))).toEqual(new Set(['s1', 's2', 's3', 's4', 's0']));
    expect(rowsOf(html).at(-1)?.at(-1)).toBe('28 sats');
  });

  it('take what is called "other" itself with them', () => {
    expect(
      withOther([
        { name: 'other', values: [9] },
        { name: 'a', values: [1] },
      ]),
    ).toEqual([
      { name: 'a', values: [1] },
      { name: 'other', values: [9] },
    ]);
  });
});

it('paired bars stand beside each other, in their order, and are not added', () => {
  const html = pairedBars(
    chart({
      series: [
        { name: 'in', values: [2, 0, 4] },
        { name: 'out', values: [8, 1, 0] },
      ],
    }),
  );
  const first = barsOf(html).filter(({ x }) => x < 10);
  expect(first).toEqual([
    { colour: 's1', x: 1, y: 75, width: 4, height: 25 },
    { colour: 's2', x: 5, y: 0, width: 4, height: 100 },
  ]);
  expect(rowsOf(html)[0]).toEqual(['Hour', 'in', 'out']);
  expect(rowsOf(html).at(-1)).toEqual(['Total', '6 sats', '9 sats']);
  expect(html).toContain('in 6 sats in all; out 9 sats in all.');
});
