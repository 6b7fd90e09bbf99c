import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { listedPrices, type ListedModel, type ListedModels } from './listed-price.ts';

/** Where the prices are kept that the operator knows of: those of the last confirmation. */
export const KNOWN_PRICES_FILE = new URL('known-prices.json', import.meta.url);

const known = z.record(z.string(), listedPrices);

/** Reads the prices that are known. Throws where there is no such file, or none that makes sense. */
export function readKnownPrices(file: URL = KNOWN_PRICES_FILE): ListedModels {
  const models = known.parse(JSON.parse(readFileSync(file, 'utf8')));
  return new Map(Object.entries(models).map(([name, prices]): [string, ListedModel] => [name, { prices }]));
}

/** A line for each model, in the order of their names, so that a change of the file shows what changed. */
export function writeKnownPrices(models: ListedModels, file: URL = KNOWN_PRICES_FILE): void {
  const names = [...models.keys()].sort();
  // Parsed, so that the members of a price always come in the same order.
  const prices = known.parse(Object.fromEntries(names.map((name) => [name, models.get(name)?.prices])));
  const lines = Object.entries(prices).map(([name, some]) => `${JSON.stringify(name)}: ${JSON.stringify(some)}`);
  writeFileSync(file, `{\n${lines.join(',\n')}\n}\n`);
}
