import type { Part, Signature } from '../generation.ts';
import { member, objectsIn, textOrNull } from '../json-object.ts';
import { wireCount } from '../usage.ts';
import type { JsonObject } from '../wire.ts';
import type { CallIds } from './call-ids.ts';

/** What a GenerateContentResponse says (https://ai.google.dev/api/generate-content), whole or as a chunk of a stream. */

export interface Candidate {
  readonly index: number;
  readonly parts: readonly JsonObject[];
  /** Null where it goes on. */
  readonly finishReason: string | null;
  readonly logprobs: unknown;
}

/** None where the prompt was blocked. Content may be missing, empty, or without parts. */
export function candidatesOf(response: unknown): Candidate[] {
  return objectsIn(member(response, 'candidates')).map((candidate, position) => ({
    index: wireCount(candidate['index']) ?? position,
    parts: objectsIn(member(candidate['content'], 'parts')),
    finishReason: textOrNull(candidate['finishReason']),
    logprobs: candidate['logprobsResult'],
  }));
}

/** Why the prompt was blocked; null where it was not. */
export function blockReasonOf(response: unknown): string | null {
  return textOrNull(member(member(response, 'promptFeedback'), 'blockReason'));
}

/** The failure that comes in place of an answer, also in a list of one; undefined where none does. */
export function failureOf(response: unknown): unknown {
  const error = member(Array.isArray(response) ? response[0] : response, 'error');
  return error ? error : undefined;
}

/** A part of a candidate in the canonical form; null for one that no client of another wire could read, such as a picture. */
export function partFromWire(part: JsonObject, completion: number, ids: CallIds): Part | null {
  const signature = signatureOf(part);
  const call = part['functionCall'];
  if (typeof call === 'object' && call !== null) {
    const input = member(call, 'args');
    return {
      type: 'tool_call',
      id: ids.next(completion, member(call, 'id')),
      name: textOrNull(member(call, 'name')) ?? '',
      input: input === undefined || input === null ? '' : jsonText(input),
      kind: 'function',
      ...signature,
    };
  }
  if (typeof part['text'] !== 'string') return null;
  return { type: part['thought'] === true ? 'reasoning' : 'text', text: part['text'], ...signature };
}

/** A provider's value as JSON text; '' where it is nested so deep that no writer of JSON gets through. */
export function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return '';
  }
}

/** The signature of a part, as a member to spread. */
export function signatureOf(part: JsonObject): { signature?: Signature } {
  const value = textOrNull(part['thoughtSignature']);
  return value === null ? {} : { signature: { wire: 'gemini-generate', value } };
}
