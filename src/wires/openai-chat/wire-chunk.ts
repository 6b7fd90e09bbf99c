import { member } from '../json-object.ts';

export { member };

/** What the chunks of a stream in the OpenAI chat wire format say, as far as it concerns us. */

/** One JSON chunk of a stream. */
export interface WireChunk {
  id?: unknown;
  object?: unknown;
  created?: unknown;
  model?: unknown;
  choices?: unknown;
  usage?: unknown;
  x_groq?: unknown;
  error?: unknown;
}

/** A chunk without choices (an empty list, null, or no such member) and with usage: it is for us, and for the client only where it asked. */
export function isUsageOnly(chunk: WireChunk): boolean {
  return choicesOf(chunk).length === 0 && (chunk.usage ?? null) !== null;
}

/** The choices of a chunk or an answer: none where it has no list of them. */
export function choicesOf({ choices }: { choices?: unknown }): readonly unknown[] {
  return Array.isArray(choices) ? choices : [];
}

/** The provider's figures in a chunk or an answer: in `usage`, in a choice (Moonshot) or in `x_groq` (Groq). Undefined without. */
export function rawUsageOf(chunk: WireChunk): unknown {
  if ((chunk.usage ?? null) !== null) return chunk.usage;
  for (const part of [...choicesOf(chunk), chunk.x_groq]) {
    const usage = member(part, 'usage') ?? null;
    if (usage !== null) return usage;
  }
  return undefined;
}

/** Why a choice ended; null where it goes on. Some servers send an empty one with every chunk. */
export function finishReasonOf(choice: unknown): string | null {
  const reason = member(choice, 'finish_reason');
  return typeof reason === 'string' && reason !== '' ? reason : null;
}

/**
 * The failure that an event, or an answer, tells of in place of (or beside) a completion; undefined where it tells of none. Seen: an `error`
 * of any type, in a choice too, in a list, or the whole object as vLLM and others word it.
 */
export function failureOf(value: unknown): unknown {
  if (Array.isArray(value)) return Array.isArray(value[0]) ? undefined : failureOf(value[0]);
  const error = member(value, 'error');
  if (error) return error;
  if (['object', 'type', 'status'].some((name) => member(value, name) === 'error')) return value;
  for (const choice of choicesOf(value ?? {})) {
    const inChoice = member(choice, 'error');
    if (inChoice) return inChoice;
    if (finishReasonOf(choice) === 'error') return choice;
  }
  return undefined;
}
