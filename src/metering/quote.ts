import { divideRoundingUp, picoUsd, type PicoUsd } from '../amount.ts';
import type { RateCard } from '../pricing/rate-card.ts';
import type { Deployment } from '../models/deployment.ts';
import type { ChatRequest } from '../wires/openai-chat/request.ts';
import { promptTokenBound } from '../wires/tokens.ts';

/** The most a request can cost: `basePicoUsd + tokens × perTokenPicoUsd` for a granted output cap of `tokens`. */
export interface Quote {
  /** The whole prompt at its dearest rate, with the markup. */
  readonly basePicoUsd: PicoUsd;
  /** One token of output cap, for all `n` choices, at the dearest rate, with the markup. */
  readonly perTokenPicoUsd: PicoUsd;
  /** The smallest and the largest output cap that may be granted, within what a candidate can give. Equal where the client set its own. */
  readonly leastTokens: number;
  readonly mostTokens: number;
  /** The most tokens the prompt can be counted as. */
  readonly promptTokens: number;
}

export interface QuoteSettings {
  defaultMaxTokens: number;
  markupBasisPoints: bigint;
}

/** A request without its own cap is refused rather than granted less. */
const LEAST_TOKENS = 256;

/**
 * Quotes a request over all candidates that might serve it: the hold covers the dearest of them.
 * A promise only where a long prompt is counted in turns with other work.
 */
export function quote(request: ChatRequest, candidates: readonly Deployment[], settings: QuoteSettings): Quote | Promise<Quote> {
  const text = request.promptText();
  const tokenizers = [...new Set(candidates.map(({ tokenizer }) => tokenizer))];
  const bounds = tokenizers.map((tokenizer) => promptTokenBound(text, tokenizer));
  const finish = (counts: readonly number[]) => {
    const textTokens = new Map(tokenizers.map((tokenizer, index) => [tokenizer, counts[index] ?? 0]));
    return combine(request, candidates, textTokens, settings);
  };
  return bounds.every((bound) => typeof bound === 'number') ? finish(bounds) : Promise.all(bounds.map(async (bound) => bound)).then(finish);
}

/** The most the request can cost when `tokens` of output are granted. */
export function costBound({ basePicoUsd, perTokenPicoUsd }: Quote, tokens: number): PicoUsd {
  return picoUsd(basePicoUsd + BigInt(tokens) * perTokenPicoUsd);
}

function combine(
  request: ChatRequest,
  candidates: readonly Deployment[],
  textTokens: ReadonlyMap<string, number>,
  { defaultMaxTokens, markupBasisPoints }: QuoteSettings,
): Quote {
  let base = 0n;
  let perToken = 0n;
  let promptTokens = 0;
  let most = 0;
  for (const deployment of candidates) {
    const tokens = (textTokens.get(deployment.tokenizer) ?? 0) + request.images.count * (deployment.imageTokens ?? 0);
    const { input, output } = dearestRates(deployment.rateCard, tokens);
    base = max(base, BigInt(tokens) * input);
    perToken = max(perToken, BigInt(request.n) * output);
    promptTokens = Math.max(promptTokens, tokens);
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

/** The dearest rates of every step that a prompt of at most `promptTokens` can reach; cache writes count as input. */
function dearestRates(card: RateCard, promptTokens: number): { input: bigint; output: bigint } {
  let input = max(card.input, max(card.cacheRead, card.cacheWrite));
  let output: bigint = card.output;
  for (const step of card.steps) {
    if (step.fromTokens > promptTokens) break;
    input = max(input, max(step.input, max(step.cacheRead, step.cacheWrite)));
    output = max(output, step.output);
  }
  return { input, output };
}

function withMarkup(amount: bigint, markupBasisPoints: bigint): PicoUsd {
  return picoUsd(divideRoundingUp(amount * (10_000n + markupBasisPoints), 10_000n));
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
