import { KNOWN_PRICES_FILE } from './pricing/known-prices.ts';
import { readOwnPrices } from './pricing/own-prices.ts';
import { packageModels } from './pricing/package-prices.ts';
import { reviewPrices } from './pricing/review-prices.ts';

/**
 * `npm run prices`: shows what differs between the catalogue of this release and the prices that are known, without the network or a
 * database. `-- --confirm <provider/model>`, as often as needed, or `-- --confirm-all` makes what is listed known. Exits with 0 where
 * nothing is held back, with 1 where something is, with 2 where it could not be done.
 */
const { exitCode, lines } = reviewPrices(process.argv.slice(2), {
  listed: packageModels(),
  own: readOwnPrices(),
  file: KNOWN_PRICES_FILE,
  nowMs: Date.now(),
});
for (const line of lines) (exitCode === 2 ? console.error : console.log)(line);
process.exitCode = exitCode;
