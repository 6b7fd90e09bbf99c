import type { Signature } from '../generation.ts';
import { isObject, listIn, textIn } from '../json-object.ts';
import { signatureFrom, signatureText } from '../signature.ts';
import type { JsonObject } from '../wire.ts';

const WIRE = 'anthropic-messages';
const SIGNS_PREVIOUS = 'pura-signs-previous:';

/**
 * Thoughts and signatures of other wires in a message: clients send its thinking blocks back as they came. A signature of a text or of a
 * tool's call, which has no place of its own here, stands in a sealed block right after it.
 */

export function thinkingBlock(text: string, signature: Signature | undefined): JsonObject {
  return { type: 'thinking', thinking: text, signature: signature ? signatureText(signature, WIRE) : '' };
}

export function sealedBlock(signature: Signature): JsonObject {
  return { type: 'redacted_thinking', data: signatureText(signature, WIRE) };
}

export function signsPrevious(signature: Signature): JsonObject {
  return { type: 'redacted_thinking', data: SIGNS_PREVIOUS + signatureText(signature, WIRE) };
}

/** The signature of the block before; undefined where the sealed block is a thought of its own. */
export function previousSignature(data: string): Signature | undefined {
  return data.startsWith(SIGNS_PREVIOUS) ? signatureFrom(data.slice(SIGNS_PREVIOUS.length), WIRE) : undefined;
}

/** A thought that the API did not sign, and would refuse. */
function isForeignThought(block: unknown): boolean {
  if (!isObject(block)) return false;
  if (block['type'] === 'redacted_thinking') {
    const data = textIn(block['data']);
    return previousSignature(data) !== undefined || signatureFrom(data, WIRE).wire !== WIRE;
  }
  const signature = textIn(block['signature']);
  return block['type'] === 'thinking' && (signature === '' || signatureFrom(signature, WIRE).wire !== WIRE);
}

/** Messages without the thoughts of other wires; the same object where they hold none. */
export function withoutForeignThoughts(messages: unknown): unknown {
  const holdsOne = (message: unknown): boolean => isObject(message) && listIn(message['content']).some(isForeignThought);
  if (!listIn(messages).some(holdsOne)) return messages;
  const kept = listIn(messages).map((message) =>
    isObject(message) && holdsOne(message)
      ? { ...message, content: listIn(message['content']).filter((block) => !isForeignThought(block)) }
      : message,
  );
  return kept.filter((message) => !isObject(message) || !Array.isArray(message['content']) || message['content'].length > 0);
}
