import type { Logger } from '../log.ts';
import { catalogue } from './catalogue.ts';
import type { PriceChange } from './price-changes.ts';
import { describeRate } from './review-prices.ts';

/** Names the models whose price changed by more than a tenth without a confirmation. */
export function warnOfHeldPrices(log: Pick<Logger, 'warn'>, changes: readonly PriceChange[] = catalogue().changes): void {
  const held = changes.filter((change) => change.held);
  if (held.length === 0) return;
  const models = Object.fromEntries(held.map(({ model, rates }) => [model, rates.map(describeRate)]));
  log.warn(
    { models },
    'prices changed by more than a tenth: the dearer of the old and the new is charged until `npm run prices` confirms them',
  );
}
