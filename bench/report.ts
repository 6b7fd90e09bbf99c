import type { RoundResult } from './load.ts';

/** A round as it was measured. */
export interface Measured {
  name: 'bare' | 'pura';
  connections: number;
  stream: boolean;
  result: RoundResult;
}

type Row = Record<string, string>;

/** Prints the medians of the rounds, and how Pura compares: one table for JSON answers, one for streams. */
export function printTables(measured: readonly Measured[]): void {
  const json = rowsOf(measured, false);
  const streams = rowsOf(measured, true);
  console.log('\n\nJSON answers (medians of the rounds)');
  console.log(table(json));
  if (streams.length === 0) return;
  console.log('\nStreams of 50 chunks (medians of the rounds)');
  console.log(table(streams));
}

function rowsOf(measured: readonly Measured[], stream: boolean): Row[] {
  const rounds = measured.filter((round) => round.stream === stream);
  return [...new Set(rounds.map(({ connections }) => connections))].map((connections) => {
    const medianOf = (name: Measured['name'], figure: (result: RoundResult) => number) =>
      median(rounds.filter((round) => round.name === name && round.connections === connections).map(({ result }) => figure(result)));
    const bare = medianOf('bare', ({ perSecond }) => perSecond);
    const pura = medianOf('pura', ({ perSecond }) => perSecond);
    const time = (name: Measured['name'], figure: (result: RoundResult) => number) => `${medianOf(name, figure).toFixed(1)} ms`;
    return {
      connections: String(connections),
      'bare /s': bare.toFixed(0),
      'pura /s': pura.toFixed(0),
      ratio: (pura / bare).toFixed(2),
      'bare p50': time('bare', ({ latencyMs }) => latencyMs.median),
      'pura p50': time('pura', ({ latencyMs }) => latencyMs.median),
      'pura p99': time('pura', ({ latencyMs }) => latencyMs.p99),
      ...(stream && {
        'bare first byte': time('bare', ({ firstByteMs }) => firstByteMs.median),
        'pura first byte': time('pura', ({ firstByteMs }) => firstByteMs.median),
      }),
    };
  });
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

function table(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const widths = columns.map((column) => Math.max(column.length, ...rows.map((row) => (row[column] ?? '').length)));
  const line = (cells: readonly string[]) => cells.map((cell, index) => cell.padStart(widths[index] ?? 0)).join('  ');
  return [line(columns), ...rows.map((row) => line(columns.map((column) => row[column] ?? '')))].join('\n');
}
