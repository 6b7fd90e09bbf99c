import { escapeHtml } from './escape-html.ts';

/** What stands for one colour of a chart: a model, a key, a provider; for paired bars one of the two sides. */
export interface ChartSeries {
  readonly name: string;
  /** One for each bucket, 0 and above. */
  readonly values: readonly number[];
}

export interface Chart {
  /** Names the chart within its page. */
  readonly id: string;
  /** What is shown, for those who hear the page: "Spent by model, by hour". */
  readonly title: string;
  /** What a bucket is called in the table: "Hour", "Day". */
  readonly bucket: string;
  /** The start of each bucket as text, oldest first. */
  readonly buckets: readonly string[];
  readonly series: readonly ChartSeries[];
  /** A figure with its unit, as plain text. */
  readonly format: (value: number) => string;
}

interface Bar {
  readonly x: number;
  readonly width: number;
  readonly y: number;
  readonly height: number;
  readonly colour: number;
}

/** Colours there are, besides the grey of everything else. */
const MOST_SERIES = 4;
/** Of the drawing, which is stretched to its place: a bucket is ten wide, its bar eight, a high bar a hundred. */
const BUCKET = 10;
const GAP = 1;
const HEIGHT = 100;
/** What all series beyond the fourth are called together. */
export const OTHER = 'other';

/** Bars by bucket with the series on top of each other, as HTML: the drawing, its axis, its legend, and all figures as a table. */
export function stackedBars(chart: Chart): string {
  const folded = { ...chart, series: withOther(chart.series) };
  const totals = chart.buckets.map((_, bucket) => sum(folded.series.map(({ values }) => values[bucket] ?? 0)));
  const most = Math.max(0, ...totals);
  const bars = folded.series.flatMap(({ values }, index) =>
    values.map((value, bucket) => {
      const below = sum(folded.series.slice(0, index).map((each) => each.values[bucket] ?? 0));
      const [top, height] = [scaled(below + value, most), scaled(value, most)];
      return { x: bucket * BUCKET + GAP, width: BUCKET - 2 * GAP, y: HEIGHT - top, height, colour: colourOf(folded.series, index) };
    }),
  );
  return chartHtml(folded, { bars, totals, most, isSum: true });
}

/** Two bars beside each other for each bucket, as HTML: two sides that are compared and not added. At most four series. */
export function pairedBars(chart: Chart): string {
  const { series } = chart;
  const most = Math.max(0, ...series.flatMap(({ values }) => values));
  const width = (BUCKET - 2 * GAP) / Math.max(1, series.length);
  const bars = series.flatMap(({ values }, index) =>
    values.map((value, bucket) => {
      const height = scaled(value, most);
      return { x: bucket * BUCKET + GAP + index * width, width, y: HEIGHT - height, height, colour: colourOf(series, index) };
    }),
  );
  return chartHtml(chart, { bars, totals: series.map(({ values }) => sum(values)), most, isSum: false });
}

/** The four largest series, and all others as one. */
export function withOther(series: readonly ChartSeries[]): ChartSeries[] {
  const ordered = series.toSorted((a, b) => sum(b.values) - sum(a.values));
  // Somebody's model may be called so too: it is one of them then.
  const named = ordered.filter(({ name }) => name !== OTHER).slice(0, MOST_SERIES);
  const rest = ordered.filter((each) => !named.includes(each));
  if (rest.length === 0) return named;
  const [first] = rest;
  const values = (first?.values ?? []).map((_, bucket) => sum(rest.map((each) => each.values[bucket] ?? 0)));
  return [...named, { name: OTHER, values }];
}

function chartHtml(
  chart: Chart,
  { bars, totals, most, isSum }: { bars: readonly Bar[]; totals: readonly number[]; most: number; isSum: boolean },
): string {
  const { id, title, series, buckets } = chart;
  const width = Math.max(1, buckets.length) * BUCKET;
  const drawn = bars
    .filter(({ height }) => height > 0)
    .map(
      (bar) =>
        `<rect class="s${bar.colour}" x="${round(bar.x)}" y="${round(bar.y)}" width="${round(bar.width)}" height="${round(bar.height)}"/>`,
    );
  const legend = series.map(({ name }, index) => `<li><i class="s${colourOf(series, index)}"></i>${escapeHtml(name)}</li>`);
  return `<div class="chart">
<p class="axis" aria-hidden="true"><span>${escapeHtml(chart.format(most))}</span></p>
<svg role="img" aria-labelledby="${id}-title" aria-describedby="${id}-desc" viewBox="0 0 ${width} ${HEIGHT}" preserveAspectRatio="none">
<title id="${id}-title">${escapeHtml(title)}</title><desc id="${id}-desc">${escapeHtml(described(chart, totals, isSum))}</desc>
<line class="ground" x1="0" y1="${HEIGHT}" x2="${width}" y2="${HEIGHT}"/>${drawn.join('')}</svg>
<p class="axis" aria-hidden="true">${axisOf(buckets)
    .map((start) => `<span>${escapeHtml(start)}</span>`)
    .join('')}</p>
<ul class="legend" aria-label="Colours">${legend.join('')}</ul>
<details><summary>Show as a table</summary>${tableOf(chart, isSum)}</details>
</div>`;
}

/** Highest, lowest and total in words: what the bars say to the eye. */
function described({ buckets, series, format }: Chart, totals: readonly number[], isSum: boolean): string {
  if (sum(totals) === 0) return 'Nothing in this period.';
  if (!isSum) return series.map(({ name }, index) => `${name} ${format(totals[index] ?? 0)} in all`).join('; ') + '.';
  const highest = totals.indexOf(Math.max(...totals));
  const lowest = totals.indexOf(Math.min(...totals));
  const told = (at: number) => `${format(totals[at] ?? 0)} at ${buckets[at] ?? ''}`;
  return `Highest ${told(highest)}, lowest ${told(lowest)}, ${format(sum(totals))} in all.`;
}

function tableOf({ id, title, bucket, buckets, series, format }: Chart, isSum: boolean): string {
  const cells = (values: readonly number[], tag = 'td') =>
    values.map((value) => `<${tag} class="n">${escapeHtml(format(value))}</${tag}>`).join('');
  const withTotal = (values: readonly number[]) => (isSum ? [...values, sum(values)] : values);
  const heads = [...series.map(({ name }) => name), ...(isSum ? ['Total'] : [])];
  const rows = buckets.map((start, at) => {
    const values = series.map((each) => each.values[at] ?? 0);
    return `<tr><th scope="row">${escapeHtml(start)}</th>${cells(withTotal(values))}</tr>`;
  });
  return `<div class="scroll" role="region" tabindex="0" aria-labelledby="${id}-caption"><table class="list">
<caption id="${id}-caption">${escapeHtml(title)}</caption>
<thead><tr><th scope="col">${escapeHtml(bucket)}</th>${heads.map((name) => `<th scope="col" class="n">${escapeHtml(name)}</th>`).join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody>
<tfoot><tr><th scope="row">Total</th>${cells(withTotal(series.map(({ values }) => sum(values))))}</tr></tfoot>
</table></div>`;
}

/** The first, the middle and the last start: more do not fit under a phone's chart. */
function axisOf(buckets: readonly string[]): string[] {
  const places = new Set([0, Math.floor((buckets.length - 1) / 2), buckets.length - 1]);
  return [...places].flatMap((at) => buckets[at] ?? []);
}

function colourOf(series: readonly ChartSeries[], index: number): number {
  return series[index]?.name === OTHER ? 0 : Math.min(index, MOST_SERIES - 1) + 1;
}

/** Of a bar; what is not nothing is seen. */
function scaled(value: number, most: number): number {
  return most === 0 ? 0 : Math.max(value > 0 ? 0.5 : 0, (value / most) * HEIGHT);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
