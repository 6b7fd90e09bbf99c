import type { MetricRow } from './metric-table.ts';

/** One series of a counter or gauge. */
export interface Cell {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}

/** One series of a histogram. `counts` has one place more than there are bounds. */
export interface HistogramCell {
  readonly labels: Readonly<Record<string, string>>;
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum: number;
}

/** The series of one metric, by the values of its labels. A series that is kept by its user costs an addition, and no look-up. */
export class Cells<Kept extends { readonly labels: Readonly<Record<string, string>> }> {
  readonly #names: readonly string[];
  readonly #make: (labels: Readonly<Record<string, string>>) => Kept;
  readonly #byValues = new Map<string, Kept>();

  constructor({ labels }: Pick<MetricRow, 'labels'>, make: (labels: Readonly<Record<string, string>>) => Kept) {
    this.#names = labels;
    this.#make = make;
  }

  /** The series of these values, in the order of the labels' names. */
  at(...values: string[]): Kept {
    const key = values.join('\u0000');
    let cell = this.#byValues.get(key);
    if (cell) return cell;
    cell = this.#make(Object.fromEntries(this.#names.map((name, index) => [name, values[index] ?? ''])));
    this.#byValues.set(key, cell);
    return cell;
  }

  all(): Kept[] {
    return [...this.#byValues.values()];
  }

  clear(): void {
    this.#byValues.clear();
  }
}

export function numberCells(row: Pick<MetricRow, 'labels'>): Cells<Cell> {
  const cells = new Cells<Cell>(row, (labels) => ({ labels, value: 0 }));
  // One without labels is there from the beginning, so that its rate is known from the first event on.
  if (row.labels.length === 0) cells.at();
  return cells;
}

export function histogramCells(row: Pick<MetricRow, 'labels' | 'buckets'>): Cells<HistogramCell> {
  const bounds = row.buckets ?? [];
  return new Cells<HistogramCell>(row, (labels) => ({
    labels,
    bounds,
    counts: Array.from({ length: bounds.length + 1 }, () => 0),
    sum: 0,
  }));
}

export function observeIn(cell: HistogramCell, value: number): void {
  const { bounds, counts } = cell;
  let at = 0;
  while (at < bounds.length && value > (bounds[at] ?? Infinity)) at++;
  counts[at] = (counts[at] ?? 0) + 1;
  cell.sum += value;
}
