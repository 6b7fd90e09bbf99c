import { ownCount } from './own-count.ts';
import type { InferenceRequest } from '../wires/request.ts';
import { promptTokensOf as promptOf, ZERO_USAGE, type ReportedUsage, type Usage } from '../wires/usage.ts';
import type { Candidate } from '../routing/candidate.ts';

/** How the answer of one candidate ended, as far as the bill is concerned. */
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
  /** The cap that went upstream, for all completions: more cannot have been generated. */
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
  const output = Math.min(outputTokens, await billedOutput(outcome));
  const reasoning = Math.min(usage?.reasoning ?? 0, output);
  if (usage && usage.input !== null && counts(promptOf({ ...usage, input: usage.input }), freeModel)) {
    const { input, cacheRead, cacheWrite, cacheWriteLong } = usage;
    return { input, cacheRead, cacheWrite, cacheWriteLong, output, reasoning };
  }
  return { ...ZERO_USAGE, input: await outcome.promptTokens(), output, reasoning };
}

/**
 * The provider's figure stands where it is about the whole answer. One that came before the answer's end may be provisional: of an answer
 * that ended whole it stands unless more than twice as much was delivered; of one that did not, what was delivered counts where that is more.
 * A client that left pays also for what the model will have written out of its sight.
 */
async function billedOutput(outcome: Outcome): Promise<number> {
  const { end, usage, usageIsFinal, hiddenSeconds, tokensPerSecond } = outcome;
  const reported = usage?.output ?? null;
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
export async function promptTokensOf({ media }: InferenceRequest, { deployment, rendering }: Candidate): Promise<number> {
  const { imageTokens, documentTokens } = deployment;
  const text = await ownCount(rendering.promptText(), deployment);
  const documents = media.documents > 0 ? (documentTokens ?? 0) : 0;
  return text + media.images * (imageTokens ?? 0) + documents;
}
