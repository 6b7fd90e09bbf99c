import type { Signature } from '../generation.ts';
import { signatureFrom, signatureText } from '../signature.ts';
import type { JsonObject } from '../wire.ts';

const WIRE = 'openai-responses';
/** What a sealed text belongs to, where that is not the reasoning item that it stands in. */
const MARKED = /^pura-(redacted|signs-previous):(.*)$/s;

/**
 * `encrypted_content` is the one place of this wire where a client keeps something for its provider. `thoughts`: the signature of the item's
 * own text. `redacted`: thoughts that only their provider can read. `previous`: the signature of the text or call before the item.
 */
export interface Sealed {
  readonly of: 'thoughts' | 'redacted' | 'previous';
  readonly signature: Signature;
}

export function sealedText({ of, signature }: Sealed): string {
  const text = signatureText(signature, WIRE);
  if (of === 'thoughts') return text;
  return `pura-${of === 'redacted' ? 'redacted' : 'signs-previous'}:${text}`;
}

export function sealedFrom(text: string): Sealed {
  const [, mark, rest] = MARKED.exec(text) ?? [];
  if (mark === undefined || rest === undefined) return { of: 'thoughts', signature: signatureFrom(text, WIRE) };
  return { of: mark === 'redacted' ? 'redacted' : 'previous', signature: signatureFrom(rest, WIRE) };
}

/**
 * Whether a provider of this wire can do anything with a reasoning item that a client sends back. It stores nothing for us, so it knows no
 * item by its id alone; and what another wire's provider has sealed it refuses.
 */
export function isReadableReasoning(item: JsonObject): boolean {
  const sealed = item['encrypted_content'];
  if (typeof sealed === 'string' && sealed !== '')
    return sealedFrom(sealed).of === 'thoughts' && sealedFrom(sealed).signature.wire === WIRE;
  return Array.isArray(item['content']) && item['content'].length > 0;
}
