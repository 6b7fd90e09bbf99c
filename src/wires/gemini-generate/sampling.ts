import type { Sampling } from '../generation.ts';
import type { Target } from '../target.ts';
import type { JsonObject } from '../wire.ts';

export interface Sampled {
  /** For `generationConfig`. */
  readonly said: JsonObject;
  /** What the model cannot take, by the names that clients know. */
  readonly ignored: string[];
}

/** A seed and a count are 32-bit integers here. */
const isInt32 = (value: number): boolean => Number.isInteger(value) && Math.abs(value) < 2 ** 31;

/** How the next token is to be drawn, as far as the model takes it. */
export function samplingFor(sampling: Sampling, { traits, dialect }: Target): Sampled {
  const sampled = { said: {} as JsonObject, ignored: [] as string[] };
  const take = (clientName: string, name: string, value: number | undefined, isTaken = true): void => {
    if (value === undefined) return;
    if (isTaken && !dialect.drops.includes(clientName)) sampled.said[name] = value;
    else sampled.ignored.push(clientName);
  };
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty } = sampling;
  const isFree = traits.sampling !== 'refused';
  take('temperature', 'temperature', temperature, isFree);
  take('top_p', 'topP', topP, isFree && (traits.sampling === 'free' || temperature === undefined));
  take('top_k', 'topK', topK, isFree && isInt32(topK ?? 0) && (topK ?? 0) > 0);
  take('seed', 'seed', seed, isInt32(seed ?? 0));
  take('presence_penalty', 'presencePenalty', presencePenalty);
  take('frequency_penalty', 'frequencyPenalty', frequencyPenalty);
  return sampled;
}
