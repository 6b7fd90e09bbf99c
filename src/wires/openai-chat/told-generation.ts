import { asFunctions } from '../free-text.ts';
import type { Generation } from '../generation.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';

/** Providers whose chat knows functions alone. */
const WITHOUT_CUSTOM_TOOLS = new Set(['groq', 'deepseek', 'moonshot', 'gemini']);

/** A request as a provider of this wire can be told it. */
export function toldGeneration(request: InferenceRequest, { providerId }: Target): Generation {
  const generation = request.generation();
  return WITHOUT_CUSTOM_TOOLS.has(providerId) ? asFunctions(generation) : generation;
}
