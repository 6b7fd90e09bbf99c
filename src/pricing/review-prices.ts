import { parseArgs } from 'node:util';
import { formatUsd, picoUsd, type PicoUsd } from '../amount.ts';
import { openCatalogue, type Catalogue } from './catalogue.ts';
import { readKnownPrices, writeKnownPrices } from './known-prices.ts';
import type { ListedModels } from './listed-price.ts';
import type { OwnPrices } from './own-prices.ts';
import type { PriceChange, RateChange } from './price-changes.ts';

export interface ReviewSources {
  /** What the package lists. */
  readonly listed: ListedModels;
  readonly own: OwnPrices;
  /** Where the known prices are read and written. */
  readonly file: URL;
  readonly nowMs: number;
}

/** What `npm run prices` says, and how it exits: 0 where nothing is held back, 1 where something is, 2 where it could not be done. */
export interface PriceReview {
  readonly exitCode: 0 | 1 | 2;
  readonly lines: readonly string[];
}

/** Shows how the catalogue differs from the known prices, once the models that `argv` confirms have become known. */
export function reviewPrices(argv: readonly string[], { listed, own, file, nowMs }: ReviewSources): PriceReview {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { confirm: { type: 'string', multiple: true, default: [] }, 'confirm-all': { type: 'boolean', default: false } },
    });
    const open = (known: ListedModels) => openCatalogue(listed, own, known, nowMs);
    const before = open(knownIn(file));
    const names = values['confirm-all'] ? before.changes.map(({ model }) => model) : values.confirm;
    const unchanged = names.find((name) => !before.changes.some(({ model }) => model === name));
    if (unchanged !== undefined) return { exitCode: 2, lines: [`${unchanged}: there is no change to confirm`] };
    const known = values['confirm-all'] ? before.models : confirmed(before, names);
    if (names.length > 0 || values['confirm-all']) writeKnownPrices(known, file);
    return report(names, open(known).changes);
  } catch (error) {
    return { exitCode: 2, lines: [(error as Error).message] };
  }
}

function report(confirmedNames: readonly string[], changes: readonly PriceChange[]): PriceReview {
  const held = changes.filter((change) => change.held);
  const small = changes.filter(({ kind, held: large }) => kind === 'changed' && !large);
  const lines = [
    ...confirmedNames.map((name) => `confirmed: ${name}`),
    ...section('Changed by more than a tenth: until confirmed, the dearer of both prices is charged', held),
    ...section('Changed, and charged as they are now', small),
    ...section('New, and charged as they are listed', ofKind(changes, 'new')),
    ...section('No longer listed, so that they have no price and are refused', ofKind(changes, 'removed')),
  ];
  if (changes.length === 0) lines.push('The prices are those that are known.');
  if (held.length > 0)
    lines.push('', `${held.length} held back. Confirm with: npm run prices -- --confirm <provider/model>, or --confirm-all`);
  return { exitCode: held.length > 0 ? 1 : 0, lines };
}

function ofKind(changes: readonly PriceChange[], wanted: PriceChange['kind']): PriceChange[] {
  return changes.filter(({ kind }) => kind === wanted);
}

function section(title: string, changes: readonly PriceChange[]): string[] {
  if (changes.length === 0) return [];
  return ['', `${title}:`, ...changes.flatMap(({ model, rates }) => [`  ${model}`, ...rates.map((rate) => `    ${describeRate(rate)}`)])];
}

/** `output: 10 → 20 USD per million tokens (+100 %), at 2026-12-01T00:00:00.000Z`. */
export function describeRate({ rate, known, listed, atMs }: RateChange): string {
  const search = rate === 'webSearch';
  const usd = (amount: PicoUsd) => formatUsd(search ? amount : picoUsd(amount * 1_000_000n));
  const percent = known === 0n ? '' : ` (${listed > known ? '+' : ''}${Math.round((Number(listed) / Number(known) - 1) * 100)} %)`;
  const unit = search ? 'USD a search' : 'USD per million tokens';
  return `${rate}: ${usd(known)} → ${usd(listed)} ${unit}${percent}, at ${new Date(atMs).toISOString()}`;
}

function confirmed({ models, known }: Catalogue, names: readonly string[]): ListedModels {
  const next = new Map(known);
  for (const name of names) {
    const model = models.get(name);
    if (model) next.set(name, model);
    else next.delete(name);
  }
  return next;
}

/** None where the file is not there yet. */
function knownIn(file: URL): ListedModels {
  try {
    return readKnownPrices(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw error;
  }
}
