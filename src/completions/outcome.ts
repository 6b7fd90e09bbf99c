import type { Deployment } from '../routing/deployment.ts';
import { tokensOfChoices } from './delivered.ts';
import type { Answered } from './dispatch.ts';
import type { Exchange } from './exchange.ts';
import { countOutputTokens } from './tokens.ts';
import { ZERO_USAGE, type Usage } from '../pricing/rate-card.ts';

/** How one dispatch ended, as far as the bill is concerned. */
export interface Outcome {
  /**
   * `answered`: the provider ended its answer. `broke_off`: it stopped after some of it was delivered.
   * `client_gone`: the client left after the dispatch. `undelivered`: nothing reached the client, and it is not the client's doing.
   */
  end: 'answered' | 'broke_off' | 'client_gone' | 'undelivered';
  /** The provider's own figures, where valid ones came. */
  usage: Usage | null;
  /** Our count of the prompt, and of what was handed on. */
  promptTokens: () => number | Promise<number>;
  deliveredTokens: () => number | Promise<number>;
  /** Whether anything was handed on at all. */
  started: boolean;
  /** From dispatch to the end, and the model's usual speed: what it may have generated out of sight. */
  elapsedSeconds: number;
  tokensPerSecond: number;
  /** The cap that went upstream: it cannot have generated more out of sight. */
  outputTokens: number;
  freeModel: boolean;
}

/**
 * What an outcome is billed for: the one place that decides it. Null: nothing, the hold is released.
 *
 * The provider's figures count where they came; an explicit zero does not, where something was delivered and the model
 * has a price. Without figures our own count of prompt and delivered tokens does. A client that left pays for what was
 * delivered to it, and, where it left before the first byte, for what the model will have written meanwhile.
 */
export async function billedUsage(outcome: Outcome): Promise<Usage | null> {
  const { end, usage, started } = outcome;
  if (end === 'undelivered') return null;
  if (usage && (await plausible(usage, outcome))) return usage;
  if (usage || end !== 'client_gone' || started) return ownCount(outcome);
  const hidden = Math.min(outcome.outputTokens, Math.ceil(outcome.elapsedSeconds * outcome.tokensPerSecond));
  return { ...ZERO_USAGE, promptTokens: await outcome.promptTokens(), completionTokens: hidden };
}

async function plausible(usage: Usage, { freeModel, started, deliveredTokens }: Outcome): Promise<boolean> {
  if (freeModel) return true;
  if (usage.promptTokens === 0) return false;
  return usage.completionTokens > 0 || !started || (await deliveredTokens()) === 0;
}

async function ownCount({ usage, promptTokens, deliveredTokens }: Outcome): Promise<Usage> {
  return {
    ...ZERO_USAGE,
    promptTokens: usage?.promptTokens || (await promptTokens()),
    completionTokens: usage?.completionTokens || (await deliveredTokens()),
  };
}

/** The gateway's own count of a prompt: for answers whose provider counts nothing, and for checkpoints. */
export async function promptTokensOf({ request }: Exchange, { tokenizer, imageTokens }: Deployment): Promise<number> {
  return (await countOutputTokens(request.promptText(), tokenizer)) + request.images.count * (imageTokens ?? 0);
}

/** What happened, in the terms of the bill. */
export function outcomeOf(exchange: Exchange, dispatched: Answered): Outcome {
  const { deployment, dispatchedAt } = dispatched;
  const { request, hold } = exchange;
  const { rateCard, tokenizer, tokensPerSecond } = deployment;
  const facts = {
    promptTokens: () => promptTokensOf(exchange, deployment),
    elapsedSeconds: (performance.now() - dispatchedAt) / 1000,
    tokensPerSecond,
    outputTokens: hold.tokens * request.n,
    freeModel: rateCard.input === 0n && rateCard.output === 0n,
  };
  switch (dispatched.kind) {
    case 'json': {
      const { body, usage } = dispatched;
      const deliveredTokens = () => tokensOfChoices(body['choices'], (text) => countOutputTokens(text, tokenizer));
      return { ...facts, end: 'answered', usage, started: true, deliveredTokens };
    }
    case 'stream': {
      const { reason, usage, started, deliveredTokens } = dispatched.end;
      const end = reason === 'client_gone' ? 'client_gone' : !started ? 'undelivered' : reason === 'complete' ? 'answered' : 'broke_off';
      return { ...facts, end, usage, started, deliveredTokens };
    }
    case 'client_gone':
      return { ...facts, end: 'client_gone', usage: null, started: false, deliveredTokens: () => 0 };
    case 'refused':
      return { ...facts, end: 'undelivered', usage: null, started: false, deliveredTokens: () => 0 };
  }
}
