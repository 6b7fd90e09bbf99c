import { isObject } from '../wires/json-object.ts';

/**
 * The geometric mean of the probabilities of a completion's tokens, from log probabilities as OpenAI words them: those of a chat's choice
 * (`content`, `refusal`), of a legacy completion (`token_logprobs`), or a bare list. Null where there are none.
 */
export function tokenProbability(logprobs: unknown): number | null {
  const values = logprobsIn(logprobs).filter((value) => typeof value === 'number' && Number.isFinite(value) && value <= 0) as number[];
  if (values.length === 0) return null;
  return Math.exp(values.reduce((sum, value) => sum + value, 0) / values.length);
}

function logprobsIn(logprobs: unknown): unknown[] {
  if (Array.isArray(logprobs)) return logprobs.map((token: unknown) => (isObject(token) ? token['logprob'] : token));
  if (!isObject(logprobs)) return [];
  return ['content', 'refusal', 'token_logprobs'].flatMap((name) => {
    const list = logprobs[name];
    return Array.isArray(list) ? logprobsIn(list) : [];
  });
}
