import { member, objectsIn } from '../json-object.ts';
import { jsonText } from './response.ts';

interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

/** A `logprobsResult` as OpenAI words a choice's log probabilities; undefined where there is none. */
export function logprobsFromWire(result: unknown): unknown {
  const chosen = objectsIn(member(result, 'chosenCandidates'));
  if (chosen.length === 0) return undefined;
  const alternatives = member(result, 'topCandidates');
  const content = chosen.map((one, position) => {
    const top = objectsIn(member(Array.isArray(alternatives) ? alternatives[position] : undefined, 'candidates'));
    return { ...tokenLogprob(one), top_logprobs: top.map(tokenLogprob) };
  });
  return { content, refusal: null };
}

/** A probability of 1 has a logarithm of nothing, which this wire leaves out. The number may stand in its own words. */
function tokenLogprob({ token, logProbability }: Readonly<Record<string, unknown>>): TokenLogprob {
  const text = typeof token === 'string' ? token : '';
  const logprob = Number(jsonText(logProbability ?? 0));
  return { token: text, logprob: Number.isFinite(logprob) ? logprob : 0, bytes: [...Buffer.from(text)] };
}
