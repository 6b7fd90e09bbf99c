import { divideRoundingUp, picoUsd, picoUsdFromUsd, type PicoUsd } from '../amount.ts';
import type { ListedPrice, ListedRates } from './listed-price.ts';
import type { RateCard, RateStep, TokenRates } from './rate-card.ts';

/** A model's prices before they have a version. */
export type Rates = Omit<RateCard, 'priceVersion'>;

/** Compiles a listed price to integers of pico-dollars. */
export function compileRates({ steps = [], webSearches, ...rates }: ListedPrice): Rates {
  const compiled = steps.map((step): RateStep => ({ fromTokens: step.fromTokens, ...tokenRates(step) }));
  return withDearest(
    tokenRates(rates),
    compiled.toSorted((a, b) => a.fromTokens - b.fromTokens),
    webSearches === undefined ? undefined : perThousand(webSearches),
  );
}

/** The dearer of two cards, rate by rate and prompt by prompt. */
export function dearerRates(a: Rates, b: Rates): Rates {
  const starts = [...new Set([...a.steps, ...b.steps].map(({ fromTokens }) => fromTokens))].sort((x, y) => x - y);
  const at = (promptTokens: number) => dearerOf(ratesFor(promptTokens, a), ratesFor(promptTokens, b));
  const searches = [a.webSearch, b.webSearch].filter((fee) => fee !== undefined);
  return withDearest(
    at(0),
    starts.map((fromTokens): RateStep => ({ fromTokens, ...at(fromTokens) })),
    searches.length === 0 ? undefined : searches.reduce(dearer),
  );
}

/** The rates for a whole request whose prompt is of so many tokens: a long prompt's hold for all of it. */
export function ratesFor(promptTokens: number, card: Pick<RateCard, 'steps'> & TokenRates): TokenRates {
  return card.steps.findLast(({ fromTokens }) => promptTokens >= fromTokens) ?? card;
}

function tokenRates(listed: ListedRates): TokenRates {
  const input = perMillion(listed.input);
  const cacheWrite = perMillion(listed.cacheWrite ?? listed.input);
  const cacheWriteLong = listed.cacheWriteLong === undefined ? picoUsd(2n * cacheWrite) : perMillion(listed.cacheWriteLong);
  return {
    input,
    output: perMillion(listed.output),
    cacheRead: perMillion(listed.cacheRead ?? listed.input),
    cacheWrite,
    cacheWriteLong: dearer(cacheWriteLong, cacheWrite),
  };
}

function withDearest(rates: TokenRates, steps: readonly RateStep[], webSearch: PicoUsd | undefined): Rates {
  const all = [rates, ...steps];
  return {
    input: rates.input,
    output: rates.output,
    cacheRead: rates.cacheRead,
    cacheWrite: rates.cacheWrite,
    cacheWriteLong: rates.cacheWriteLong,
    dearestInput: all.flatMap(({ input, cacheRead, cacheWriteLong }) => [input, cacheRead, cacheWriteLong]).reduce(dearer),
    dearestOutput: all.map(({ output }) => output).reduce(dearer),
    steps,
    ...(webSearch === undefined ? {} : { webSearch }),
  };
}

function dearerOf(a: TokenRates, b: TokenRates): TokenRates {
  return {
    input: dearer(a.input, b.input),
    output: dearer(a.output, b.output),
    cacheRead: dearer(a.cacheRead, b.cacheRead),
    cacheWrite: dearer(a.cacheWrite, b.cacheWrite),
    cacheWriteLong: dearer(a.cacheWriteLong, b.cacheWriteLong),
  };
}

function dearer(a: PicoUsd, b: PicoUsd): PicoUsd {
  return a > b ? a : b;
}

/** USD per million tokens as pico-dollars a token, rounded up. */
function perMillion(usd: number): PicoUsd {
  return picoUsd(divideRoundingUp(picoUsdFromUsd(usd), 1_000_000n));
}

function perThousand(usd: number): PicoUsd {
  return picoUsd(divideRoundingUp(picoUsdFromUsd(usd), 1_000n));
}
