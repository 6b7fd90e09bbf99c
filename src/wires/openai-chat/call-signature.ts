import type { Signature } from '../generation.ts';
import { signatureFrom, signatureText } from '../signature.ts';
import type { JsonObject } from '../wire.ts';
import { member } from '../json-object.ts';

/**
 * Where a call, or a message, carries the signature that Gemini wants back with it. Google's own choice for this wire:
 * https://ai.google.dev/gemini-api/docs/thought-signatures#openai
 */
export function extraContent(signature: Signature): JsonObject {
  return { extra_content: { google: { thought_signature: signatureText(signature, 'gemini-generate') } } };
}

/** The signature in a call, or in a message; undefined without. */
export function extraSignatureOf(holder: unknown): Signature | undefined {
  const text = member(member(member(holder, 'extra_content'), 'google'), 'thought_signature');
  return typeof text === 'string' && text !== '' ? signatureFrom(text, 'gemini-generate') : undefined;
}
