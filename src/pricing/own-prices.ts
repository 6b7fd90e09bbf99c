import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { dailyHours, listedPrices, type ListedModel, type ListedModels } from './listed-price.ts';
import type { PeakHours, Peaks } from './price-times.ts';

const day = z.iso.date();
const file = z.strictObject({
  peaks: z.record(
    z.string(),
    z.strictObject({
      hours: z.array(dailyHours).min(1),
      holidaysKnownUntil: day,
      holidays: z.array(z.strictObject({ from: day, to: day })),
    }),
  ),
  without: z.array(z.string()),
  models: z.record(
    z.string(),
    z.strictObject({
      source: z.string().min(1),
      read: z.iso.date(),
      contextWindow: z.int().min(1),
      aliases: z.array(z.string()).default([]),
      prices: listedPrices,
    }),
  ),
});

/** The project's own list of prices. */
export interface OwnPrices {
  readonly models: ListedModels;
  /** Other names of these models, as `<provider>/<model>`, to the names above. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Models that the package prices and that have no price all the same. */
  readonly without: ReadonlySet<string>;
  readonly peaks: Peaks;
}

/** Reads `own-prices.yaml`, or another text of its form. Throws where it is malformed or names peak hours that it does not have. */
export function readOwnPrices(text: string = readFileSync(new URL('own-prices.yaml', import.meta.url), 'utf8')): OwnPrices {
  const { peaks, without, models } = file.parse(parseYaml(text, { schema: 'core' }));
  const entries = Object.entries(models);
  for (const { peak } of entries.flatMap(([, { prices }]) => prices))
    if (peak !== undefined && !Object.hasOwn(peaks, peak)) throw new Error(`own-prices.yaml: no peak hours are called ${peak}`);
  return {
    models: new Map(entries.map(([name, { contextWindow, prices }]): [string, ListedModel] => [name, { contextWindow, prices }])),
    aliases: new Map(entries.flatMap(([name, { aliases }]) => aliases.map((alias) => [`${providerOf(name)}/${alias}`, name] as const))),
    without: new Set(without),
    peaks: new Map(
      Object.entries(peaks).map(([name, { hours, holidays }]): [string, PeakHours] => [name, { hours, holidays: daysOf(holidays) }]),
    ),
  };
}

function providerOf(name: string): string {
  return name.slice(0, name.indexOf('/'));
}

const DAY_MS = 86_400_000;

function daysOf(spans: readonly { from: string; to: string }[]): Set<string> {
  const days = new Set<string>();
  for (const { from, to } of spans)
    for (let at = Date.parse(from); at <= Date.parse(to); at += DAY_MS) days.add(new Date(at).toISOString().slice(0, 10));
  return days;
}
