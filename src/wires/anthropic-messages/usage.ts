import { promptTokensOf, wireCount, ZERO_USAGE, type ReportedUsage, type Usage } from '../usage.ts';
import type { JsonObject } from '../wire.ts';
import { isObject } from '../json-object.ts';

/**
 * Usage as the Messages API tells it (https://docs.anthropic.com/en/api/messages): `input_tokens` is only what was neither read from a cache
 * nor written to one. Figures that are no counts are as if they were missing.
 */

/**
 * The figures of an answer; null where not one main figure is sound. Passes of the same model that the top level leaves out (a compaction
 * of the conversation) stand in `iterations`: where these come to more, they count.
 */
export function usageFromWire(value: unknown): ReportedUsage | null {
  if (!isObject(value)) return null;
  const input = wireCount(value['input_tokens']);
  const output = wireCount(value['output_tokens']);
  if (input === null && output === null) return null;
  const top = bucketsOf(value);
  const passes = passesOf(value['iterations']);
  if (passes && tokensOf(passes) > tokensOf(top)) return { ...passes, reasoning: top.reasoning };
  return { ...top, input, output };
}

const PROMPT_FIGURES = ['input_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens'];

/**
 * Figures that a stream tells in several events: each one that comes takes the place of the one before, what is left out stays. So does a
 * prompt that was counted: a later event that gives nothing for all of it says nothing of it.
 */
export class UsageSoFar {
  #figures: JsonObject = {};

  add(value: unknown): ReportedUsage | null {
    if (!isObject(value)) return null;
    const keepsPrompt = tellsPrompt(this.#figures) && !tellsPrompt(value);
    const told = Object.entries(value).filter(([name, figure]) => figure !== null && !(keepsPrompt && PROMPT_FIGURES.includes(name)));
    this.#figures = { ...this.#figures, ...Object.fromEntries(told) };
    return usageFromWire(this.#figures);
  }
}

function tellsPrompt(figures: JsonObject): boolean {
  return PROMPT_FIGURES.some((name) => (wireCount(figures[name]) ?? 0) > 0);
}

/** Usage in this wire's words. */
export function usageToWire({ input, cacheRead, cacheWrite, cacheWriteLong, output, reasoning }: Usage): JsonObject {
  return {
    input_tokens: input,
    cache_creation_input_tokens: cacheWrite + cacheWriteLong,
    cache_read_input_tokens: cacheRead,
    cache_creation: { ephemeral_5m_input_tokens: cacheWrite, ephemeral_1h_input_tokens: cacheWriteLong },
    output_tokens: output,
    ...(reasoning > 0 && { output_tokens_details: { thinking_tokens: reasoning } }),
  };
}

/** Usage with nothing for what the provider did not tell. */
export function knownUsage(reported: ReportedUsage | null): Usage {
  return reported ? { ...reported, input: reported.input ?? 0, output: reported.output ?? 0 } : ZERO_USAGE;
}

function bucketsOf(figures: JsonObject): Usage {
  const output = wireCount(figures['output_tokens']) ?? 0;
  const details = isObject(figures['output_tokens_details']) ? figures['output_tokens_details'] : {};
  const lifetimes = isObject(figures['cache_creation']) ? figures['cache_creation'] : {};
  const long = wireCount(lifetimes['ephemeral_1h_input_tokens']) ?? 0;
  const short = wireCount(lifetimes['ephemeral_5m_input_tokens']) ?? 0;
  const written = wireCount(figures['cache_creation_input_tokens']) ?? long + short;
  const cacheWriteLong = Math.min(long, written);
  return {
    input: wireCount(figures['input_tokens']) ?? 0,
    cacheRead: wireCount(figures['cache_read_input_tokens']) ?? 0,
    cacheWrite: written - cacheWriteLong,
    cacheWriteLong,
    output,
    reasoning: Math.min(output, wireCount(details['thinking_tokens']) ?? 0),
  };
}

/** The sum of the passes that the answering model made; null without any. */
function passesOf(iterations: unknown): Usage | null {
  if (!Array.isArray(iterations)) return null;
  let sum: Usage | null = null;
  for (const pass of iterations as unknown[]) {
    if (!isObject(pass) || (pass['type'] !== 'message' && pass['type'] !== 'compaction')) continue;
    const one = bucketsOf(pass);
    const before: Usage = sum ?? ZERO_USAGE;
    sum = {
      input: before.input + one.input,
      cacheRead: before.cacheRead + one.cacheRead,
      cacheWrite: before.cacheWrite + one.cacheWrite,
      cacheWriteLong: before.cacheWriteLong + one.cacheWriteLong,
      output: before.output + one.output,
      reasoning: before.reasoning + one.reasoning,
    };
  }
  return sum;
}

function tokensOf(usage: Usage): number {
  return promptTokensOf(usage) + usage.output;
}
