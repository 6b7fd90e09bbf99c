import type { Finish } from '../answer.ts';
import type { Part } from '../generation.ts';
import { asObject, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';

/** Why a response ended, as its last event or its body says, with what it holds. */
export function finishOf(response: JsonObject, parts: readonly Pick<Part, 'type'>[]): Finish {
  if (response['status'] === 'incomplete') {
    const native = textIn(asObject(response['incomplete_details'])['reason']);
    return { reason: native === 'content_filter' ? 'content_filter' : 'length', native: native || 'incomplete' };
  }
  const native = textIn(response['status']) || 'completed';
  if (parts.some(({ type }) => type === 'tool_call')) return { reason: 'tool_calls', native };
  return { reason: parts.some(({ type }) => type === 'refusal') ? 'refusal' : 'stop', native };
}

/**
 * A response's end in this wire's words. A refusal stands in the message; one without a word of its own, and a filter's, leave the response
 * incomplete.
 */
export function endingOf(
  { reason }: Finish,
  hasRefused: boolean,
): { readonly status: string; readonly incomplete_details: JsonObject | null } {
  const incomplete = (why: string) => ({ status: 'incomplete', incomplete_details: { reason: why } });
  if (reason === 'length') return incomplete('max_output_tokens');
  if (reason === 'content_filter' || (reason === 'refusal' && !hasRefused)) return incomplete('content_filter');
  if (reason === 'error') return incomplete('error');
  return { status: 'completed', incomplete_details: null };
}
