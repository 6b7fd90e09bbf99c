import type { PicoUsd } from '../amount.ts';
import type { Config } from '../config/config.ts';
import { costBound, quote as quoteFor, quoteEach, sumOfQuotes, type Quote } from '../metering/quote.ts';
import type { Candidate } from '../routing/candidate.ts';
import type { Steps } from '../routing/cascade-steps.ts';
import type { Choice } from '../routing/choose.ts';
import type { RoutingView } from '../routing/view.ts';
import type { InferenceRequest } from '../wires/request.ts';

/** A choice, and what the request can cost at most with it. */
export interface QuotedChoice extends Choice {
  readonly steps: Steps;
  readonly quote: Quote;
}

export interface Cap {
  /** The request's own; null where it has none. */
  readonly maxCostPicoUsd: PicoUsd | null;
  readonly config: Pick<Config, 'DEFAULT_MAX_TOKENS' | 'markupBasisPoints'>;
}

interface Options {
  choose: (admits?: RoutingView['admits']) => Choice;
  /** All candidates that there are to choose from. */
  among: () => readonly Candidate[];
}

/**
 * Candidates that the request's own cap does not cover drop out first: under `auto` the choice is made anew among all that the cap does cover, so
 * that what is told of it is true of those that are left. Where it covers none, the choice stays as it was, to be refused by its quote.
 */
export async function quotedChoice(request: InferenceRequest, cap: Cap, { choose, among }: Options): Promise<QuotedChoice> {
  const quoted = async (choice: Choice): Promise<QuotedChoice> => {
    const quote = await quoteFor(request, choice.candidates, settingsOf(cap));
    return { ...choice, steps: [choice.candidates], quote };
  };
  const first = choose();
  if (cap.maxCostPicoUsd === null) return quoted(first);
  const candidates = await coveredBy(request, cap, first.candidates);
  if (candidates.length === first.candidates.length) return quoted(first);
  if (request.model !== 'auto') return quoted(candidates.length > 0 ? { ...first, candidates } : first);
  const ids = new Set((await coveredBy(request, cap, among())).map(({ deployment }) => deployment.id));
  return quoted(ids.size > 0 ? choose(({ id }) => ids.has(id)) : first);
}

/**
 * The same of a cascade, which can cost what all of its steps can: candidates of a step drop out first that the cap does not cover, then the last
 * steps, where it does not cover the sum.
 */
export async function quotedSteps(request: InferenceRequest, cap: Cap, choice: Choice & { readonly steps: Steps }): Promise<QuotedChoice> {
  const quoted = await Promise.all(
    choice.steps.map(async (step) => {
      const covered = await coveredBy(request, cap, step);
      const candidates = covered.length > 0 ? covered : step;
      return { candidates, quote: await quoteFor(request, candidates, settingsOf(cap)) };
    }),
  );
  const quoteOf = (count: number) => sumOfQuotes(quoted.slice(0, count).map(({ quote }) => quote));
  let count = quoted.length;
  while (count > 1 && !covers(cap, quoteOf(count))) count--;
  const steps = quoted.slice(0, count).map(({ candidates }) => candidates);
  return { ...choice, candidates: steps.flat(), steps, quote: quoteOf(count) };
}

async function coveredBy(request: InferenceRequest, cap: Cap, some: readonly Candidate[]): Promise<readonly Candidate[]> {
  if (cap.maxCostPicoUsd === null) return some;
  const quotes = await quoteEach(request, some, settingsOf(cap));
  return some.filter((_, index) => {
    const one = quotes[index];
    return one !== undefined && covers(cap, one);
  });
}

function covers({ maxCostPicoUsd }: Cap, quote: Quote): boolean {
  return maxCostPicoUsd === null || costBound(quote, quote.leastTokens) <= maxCostPicoUsd;
}

function settingsOf({ config }: Cap): { defaultMaxTokens: number; markupBasisPoints: bigint } {
  return { defaultMaxTokens: config.DEFAULT_MAX_TOKENS, markupBasisPoints: config.markupBasisPoints };
}
