import { choicesOf } from '../wires/openai-chat/wire-chunk.ts';
import type { Deployment } from '../models/deployment.ts';
import { tokensOfChoices } from '../completions/delivered.ts';
import type { Answered } from '../completions/dispatch.ts';
import type { Exchange } from '../completions/exchange.ts';
import { countOutputTokens } from '../wires/tokens.ts';
import { ZERO_USAGE, type Usage } from '../pricing/rate-card.ts';
import type { ReportedUsage } from '../wires/openai-chat/usage.ts';

/** How one dispatch ended, as far as the bill is concerned. */
export interface Outcome {
  /**
   * `answered`: the provider ended its answer. `broke_off`: it stopped after some of it was delivered.
   * `client_gone`: the client left after the dispatch. `undelivered`: nothing reached the client, and it is not the client's doing.
   */
  end: 'answered' | 'broke_off' | 'client_gone' | 'undelivered';
  /** The provider's own figures, where valid ones came. */
  usage: ReportedUsage | null;
  /** Whether they are about the whole answer, and not about its beginning. */
  usageIsFinal: boolean;
  /** Our count of the prompt, and of what was handed on. */
  promptTokens: () => number | Promise<number>;
  deliveredTokens: () => number | Promise<number>;
  /** How long the model was at work out of sight, and its usual speed: what it may have generated meanwhile. */
  hiddenSeconds: number;
  tokensPerSecond: number;
  /** The cap that went upstream, for all choices: more cannot have been generated. */
  outputTokens: number;
  freeModel: boolean;
}

/**
 * What an outcome is billed for: the one place that decides it. Null: nothing, the hold is released.
 *
 * The prompt is what the provider counted; an explicit zero is no count where the model has a price. Without a count our
 * own takes its place. The output is decided by `billedOutput`.
 */
export async function billedUsage(outcome: Outcome): Promise<Usage | null> {
  const { end, usage, freeModel, outputTokens } = outcome;
  if (end === 'undelivered') return null;
  const completionTokens = Math.min(outputTokens, await billedOutput(outcome));
  const reasoningTokens = Math.min(usage?.reasoningTokens ?? 0, completionTokens);
  if (usage && counts(usage.promptTokens, freeModel)) {
    const { promptTokens, cachedTokens, cacheWriteTokens } = usage;
    return { promptTokens, completionTokens, cachedTokens, cacheWriteTokens, reasoningTokens };
  }
  return { ...ZERO_USAGE, promptTokens: await outcome.promptTokens(), completionTokens, reasoningTokens };
}

/**
 * The provider's figure stands where it is about the whole answer. One that came before the answer's end may be provisional: of an answer
 * that ended whole it stands unless more than twice as much was delivered; of one that did not, what was delivered counts where that is more.
 * A client that left pays also for what the model will have written out of its sight.
 */
async function billedOutput(outcome: Outcome): Promise<number> {
  const { end, usage, usageIsFinal, hiddenSeconds, tokensPerSecond } = outcome;
  const reported = usage?.completionTokens ?? null;
  if (usageIsFinal && counts(reported, outcome.freeModel)) return reported;
  const hidden = end === 'client_gone' ? Math.ceil(hiddenSeconds * tokensPerSecond) : 0;
  const own = (await outcome.deliveredTokens()) + hidden;
  if (reported === null) return own;
  if (end === 'answered') return reported * 2 < own ? own : reported;
  return Math.max(reported, own);
}

function counts(tokens: number | null, freeModel: boolean): tokens is number {
  return tokens !== null && (tokens > 0 || freeModel);
}

/** The gateway's own count of a prompt: for answers whose provider counts nothing, and for checkpoints. */
export async function promptTokensOf({ request }: Exchange, { tokenizer, imageTokens }: Deployment): Promise<number> {
  return (await countOutputTokens(request.promptText(), tokenizer)) + request.images.count * (imageTokens ?? 0);
}

/** The most output, over all choices, that what went upstream allows. */
export function mostOutputTokens({ request, hold }: Exchange, { maxOutputTokens }: Deployment): number {
  return Math.min(hold.tokens, maxOutputTokens) * request.n;
}

/** What happened, in the terms of the bill. */
export function outcomeOf(exchange: Exchange, dispatched: Answered): Outcome {
  const { deployment, dispatchedAt } = dispatched;
  const { rateCard, tokenizer, tokensPerSecond } = deployment;
  const elapsedSeconds = (performance.now() - dispatchedAt) / 1000;
  const facts = {
    promptTokens: () => promptTokensOf(exchange, deployment),
    deliveredTokens: () => 0,
    usage: null,
    usageIsFinal: false,
    hiddenSeconds: 0,
    tokensPerSecond,
    outputTokens: mostOutputTokens(exchange, deployment),
    freeModel: rateCard.dearestInput === 0n && rateCard.dearestOutput === 0n,
  };
  switch (dispatched.kind) {
    case 'json': {
      const { body, usage } = dispatched;
      const deliveredTokens = () => tokensOfChoices(choicesOf(body), (text) => countOutputTokens(text, tokenizer));
      return { ...facts, end: 'answered', usage, usageIsFinal: true, deliveredTokens };
    }
    case 'stream': {
      const { reason, delivered, usage, usageIsFinal, deliveredTokens } = dispatched.end;
      const gone = reason === 'client_gone';
      const end = gone ? 'client_gone' : !delivered ? 'undelivered' : reason === 'complete' ? 'answered' : 'broke_off';
      const hiddenSeconds = delivered ? dispatched.end.hiddenSeconds : elapsedSeconds;
      return { ...facts, end, usage, usageIsFinal, deliveredTokens, hiddenSeconds };
    }
    case 'client_gone':
      return { ...facts, end: 'client_gone', hiddenSeconds: elapsedSeconds };
    case 'refused':
      return { ...facts, end: 'undelivered' };
  }
}
