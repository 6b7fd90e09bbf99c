import type { Metric, Registry } from 'prom-client';
import { histogramCells, numberCells, type Cell, type Cells, type HistogramCell } from './cells.ts';
import { METRICS, type MetricName, type MetricRow, type NameOf } from './metric-table.ts';

type Numbers = Record<NameOf<'counter' | 'gauge'>, Cells<Cell>>;
type Histograms = Record<NameOf<'histogram'>, Cells<HistogramCell>>;

/** All series of the table, and how they are told. */
export interface MetricCells {
  readonly numbers: Numbers;
  readonly histograms: Histograms;
}

interface Value {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/**
 * Makes the series and registers them. Their values are added up here, and not by the library, whose every addition looks its series up by all
 * of its labels: some fifteen a request would cost more than all the rest of it.
 */
export function registerCells(registry: Registry): MetricCells {
  const numbers = {} as Numbers;
  const histograms = {} as Histograms;
  for (const [name, row] of Object.entries(METRICS) as [MetricName, MetricRow][]) {
    if (row.type === 'histogram') {
      const cells = histogramCells(row);
      histograms[name as keyof Histograms] = cells;
      register(registry, name, row, () => cells.all().flatMap((cell) => histogramValues(name, cell)));
    } else {
      const cells = numberCells(row);
      numbers[name as keyof Numbers] = cells;
      register(registry, name, row, () => cells.all().filter(({ value }) => !Number.isNaN(value)));
    }
  }
  return { numbers, histograms };
}

function register(registry: Registry, name: MetricName, { help, type }: MetricRow, values: () => readonly Value[]): void {
  const metric = { name, help, type, get: () => Promise.resolve({ name, help, type, aggregator: 'sum', values: values() }) };
  // All that a registry asks of a metric.
  registry.registerMetric(metric as unknown as Metric);
}

function histogramValues(name: string, { labels, bounds, counts, sum }: HistogramCell): Value[] {
  let count = 0;
  const buckets = counts.map((own, index) => {
    count += own;
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bounds[index] ?? '+Inf' }, value: count };
  });
  return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: count }];
}
