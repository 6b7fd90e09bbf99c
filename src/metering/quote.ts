import { divideRoundingUp, picoUsd, type PicoUsd } from '../amount.ts';
import type { RateCard, RateStep } from '../pricing/rate-card.ts';
import type { Deployment } from '../models/deployment.ts';
import type { Candidate } from '../routing/candidate.ts';
import type { InferenceRequest } from '../wires/request.ts';
import { promptTokenBound } from '../wires/tokens.ts';

/** The most a request can cost: `basePicoUsd + tokens × perTokenPicoUsd` for a granted output cap of `tokens`. */
export interface Quote {
  /** The whole prompt at its dearest rate, with the markup. */
  readonly basePicoUsd: PicoUsd;
  /** One token of output cap, for all completions, at the dearest rate, with the markup. */
  readonly perTokenPicoUsd: PicoUsd;
  /** The smallest and the largest output cap that may be granted, within what a candidate can give. Equal where the client set its own. */
  readonly leastTokens: number;
  readonly mostTokens: number;
  /** The most tokens the prompt can be counted as. */
  readonly promptTokens: number;
  /** How many models may be asked, one after the other, each for all of this: one where it is not said. */
  readonly steps?: number;
}

export interface QuoteSettings {
  defaultMaxTokens: number;
  markupBasisPoints: bigint;
}

/** A request without its own cap is refused rather than granted less. */
const LEAST_TOKENS = 256;

/**
 * Quotes a request over all candidates that might serve it: the hold covers the dearest of them. What counts is what each of them will be
 * sent. A promise only where a long prompt is counted in turns with other work.
 */
export function quote(request: InferenceRequest, candidates: readonly Candidate[], settings: QuoteSettings): Quote | Promise<Quote> {
  return counted(candidates, (textTokens) => combine(request, candidates, textTokens, settings));
}

/** A quote for each of the candidates alone, in their order. */
export function quoteEach(
  request: InferenceRequest,
  candidates: readonly Candidate[],
  settings: QuoteSettings,
): Quote[] | Promise<Quote[]> {
  return counted(candidates, (textTokens) => candidates.map((one, index) => combine(request, [one], [textTokens[index] ?? 0], settings)));
}

/** Counts the text that each candidate will be sent. */
function counted<T>(candidates: readonly Candidate[], finish: (textTokens: readonly number[]) => T): T | Promise<T> {
  const known: { text: string; tokenizer: Deployment['tokenizer']; tokenFactor: number; bound: number | Promise<number> }[] = [];
  const bounds = candidates.map(({ deployment: { tokenizer, tokenFactor }, rendering }) => {
    const text = rendering.promptText();
    // Most candidates are sent the same text.
    const same = known.find((other) => other.tokenizer === tokenizer && other.tokenFactor === tokenFactor && other.text === text);
    const bound = same?.bound ?? promptTokenBound(text, tokenizer, tokenFactor);
    if (!same) known.push({ text, tokenizer, tokenFactor, bound });
    return bound;
  });
  return bounds.every((bound) => typeof bound === 'number') ? finish(bounds) : Promise.all(bounds.map(async (bound) => bound)).then(finish);
}

/**
 * Quotes a request of several steps, each of which may be charged: the hold covers their sum. All of them are granted the same output cap.
 * @param quotes of each step; at least one.
 */
export function sumOfQuotes(quotes: readonly Quote[]): Quote {
  return quotes.reduce((sum, one) => ({
    basePicoUsd: picoUsd(sum.basePicoUsd + one.basePicoUsd),
    perTokenPicoUsd: picoUsd(sum.perTokenPicoUsd + one.perTokenPicoUsd),
    leastTokens: Math.max(sum.leastTokens, one.leastTokens),
    mostTokens: Math.max(sum.mostTokens, one.mostTokens),
    promptTokens: Math.max(sum.promptTokens, one.promptTokens),
    steps: (sum.steps ?? 1) + (one.steps ?? 1),
  }));
}

/** The most tokens that a request can take of a rate limit. */
export function mostLimitedTokens({ promptTokens, mostTokens, steps = 1 }: Quote, completions: number): number {
  return (promptTokens + mostTokens * completions) * steps;
}

/** The most the request can cost when `tokens` of output are granted. */
export function costBound({ basePicoUsd, perTokenPicoUsd }: Quote, tokens: number): PicoUsd {
  return picoUsd(basePicoUsd + BigInt(tokens) * perTokenPicoUsd);
}

function combine(
  request: InferenceRequest,
  candidates: readonly Candidate[],
  textTokens: readonly number[],
  { defaultMaxTokens, markupBasisPoints }: QuoteSettings,
): Quote {
  let base = 0n;
  let perToken = 0n;
  let promptTokens = 0;
  let most = 0;
  for (const [index, { deployment, rendering }] of candidates.entries()) {
    const tokens = (textTokens[index] ?? 0) + mediaTokens(request, deployment);
    const { input, output } = dearestRates(deployment.rateCard, tokens, rendering.cachesLong === true);
    base = max(base, BigInt(tokens) * input);
    promptTokens = Math.max(promptTokens, tokens);
    if (request.operation === 'embed') continue;
    perToken = max(perToken, BigInt(request.completions) * output);
    most = Math.max(most, Math.min(deployment.maxOutputTokens, request.outputCap ?? defaultMaxTokens));
  }
  return {
    basePicoUsd: withMarkup(base, markupBasisPoints),
    perTokenPicoUsd: withMarkup(perToken, markupBasisPoints),
    leastTokens: request.outputCap === null ? Math.min(LEAST_TOKENS, most) : most,
    mostTokens: most,
    promptTokens,
  };
}

/** The most that images and documents can be counted as. Where that is not known, none are taken. */
function mediaTokens({ media }: InferenceRequest, { imageTokens, documentTokens }: Deployment): number {
  return media.images * (imageTokens ?? 0) + (media.documents > 0 ? (documentTokens ?? 0) : 0);
}

/** The dearest rates of every step that a prompt of at most `promptTokens` can reach; cache writes count as input. */
function dearestRates(card: RateCard, promptTokens: number, cachesLong: boolean): { input: bigint; output: bigint } {
  let input = dearestInput(card, cachesLong);
  let output: bigint = card.output;
  for (const step of card.steps) {
    if (step.fromTokens > promptTokens) break;
    input = max(input, dearestInput(step, cachesLong));
    output = max(output, step.output);
  }
  return { input, output };
}

function dearestInput({ input, cacheRead, cacheWrite, cacheWriteLong }: Omit<RateStep, 'fromTokens'>, cachesLong: boolean): bigint {
  const short = max(input, max(cacheRead, cacheWrite));
  return cachesLong ? max(short, cacheWriteLong) : short;
}

function withMarkup(amount: bigint, markupBasisPoints: bigint): PicoUsd {
  return picoUsd(divideRoundingUp(amount * (10_000n + markupBasisPoints), 10_000n));
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
