import type { Signature, ToolCallPart } from '../generation.ts';
import type { JsonObject } from '../wire.ts';
import { isMadeHere } from './call-ids.ts';
import { mediaParts } from './media.ts';
import { structFrom } from './struct.ts';
import type { AnsweredCall } from './turns.ts';

/**
 * Stands in for the signature of a call that another model made, or whose signature a client lost; without any, Gemini 3 and later refuse
 * the request (https://ai.google.dev/gemini-api/docs/thought-signatures).
 */
const SIGNATURE_OF_OTHERS = 'skip_thought_signature_validator';

/** Members of a result that mean something to the model by their names. */
const OUTPUT = 'output';
const ERROR = 'error';

/**
 * A call of the model's. Of the calls in a turn only the first has to be signed.
 * @param signature of this wire; undefined where the call has none.
 */
export function callPart({ id, name, input }: ToolCallPart, signature: Signature | undefined, isFirst: boolean): JsonObject {
  const thoughtSignature = signature?.value ?? (isFirst ? SIGNATURE_OF_OTHERS : undefined);
  return { functionCall: { ...wireId(id), name, args: argsOf(input) }, ...(thoughtSignature !== undefined && { thoughtSignature }) };
}

/** What a tool was called with; this wire takes an object alone, and a text that holds none is one's only member. */
function argsOf(input: string): JsonObject {
  return input.trim() === '' ? {} : (structFrom(input) ?? { input });
}

/** The model is told only of ids that are not ours: its calls and their results keep their order in any case. */
function wireId(id: string): { id?: string } {
  return id === '' || isMadeHere(id) ? {} : { id };
}

/** The results of a turn's calls, and after them the images and documents that they hold, each under the name of its tool. */
export function resultParts(answered: readonly AnsweredCall[]): JsonObject[] {
  const responses = answered.map(({ call, result }) => ({
    functionResponse: { ...wireId(call.id), name: call.name, response: responseOf(result) },
  }));
  const media = answered.flatMap(({ call, result }) => {
    const parts = result.parts.flatMap((part) => (part.type === 'text' ? [] : mediaParts(part)));
    return parts.length > 0 ? [{ text: `From the result of ${call.name}:` }, ...parts] : [];
  });
  return [...responses, ...media];
}

/** A result as an object: what a tool gave as one stays as it is, anything else is its output, or its error. */
function responseOf({ parts, isError }: AnsweredCall['result']): JsonObject {
  const text = parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
  if (isError) return { [ERROR]: text };
  const struct = structFrom(text);
  return struct === null || Object.hasOwn(struct, OUTPUT) || Object.hasOwn(struct, ERROR) ? { [OUTPUT]: struct ?? text } : struct;
}
