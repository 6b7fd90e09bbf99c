import type { ReasoningPart, Signature } from '../generation.ts';
import { signatureFrom, signatureText } from '../signature.ts';
import type { JsonObject } from '../wire.ts';
import { member, textIn } from '../json-object.ts';

/**
 * How thoughts travel on this wire: their text in `reasoning_content` (DeepSeek, Moonshot, llama.cpp) or `reasoning` (Groq, Ollama, vLLM), and
 * what their provider wants back with them in `reasoning_details`, OpenRouter's form, which many clients return unchanged:
 * https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks
 */
export interface ReasoningPiece {
  /** Entries of the same index are pieces of one block. */
  readonly index: number | null;
  readonly text: string;
  readonly signature?: Signature | undefined;
  readonly redacted?: Signature | undefined;
  readonly id?: string | undefined;
}

/** The text of the thoughts in a message or a delta. Where both names are used they say the same. */
export function reasoningTextOf(message: unknown): string {
  for (const name of ['reasoning_content', 'reasoning']) {
    const text = member(message, name);
    if (typeof text === 'string' && text !== '') return text;
  }
  return '';
}

/** The entries of `reasoning_details`, as far as they say something. */
export function reasoningPiecesOf(message: unknown): ReasoningPiece[] {
  const details = member(message, 'reasoning_details');
  if (!Array.isArray(details)) return [];
  const pieces: ReasoningPiece[] = [];
  for (const detail of details as unknown[]) {
    const index = member(detail, 'index');
    const text = textIn(member(detail, 'text')) || textIn(member(detail, 'summary'));
    const signature = textIn(member(detail, 'signature'));
    const data = textIn(member(detail, 'data'));
    const id = textIn(member(detail, 'id'));
    if (text === '' && signature === '' && data === '') continue;
    pieces.push({
      index: typeof index === 'number' ? index : null,
      text,
      ...(signature !== '' && { signature: signatureFrom(signature, 'openai-chat') }),
      ...(data !== '' && { redacted: signatureFrom(data, 'openai-chat') }),
      ...(id !== '' && { id }),
    });
  }
  return pieces;
}

/** The reasoning of a whole message. Pieces of a stream that a client kept one by one become blocks again. */
export function reasoningPartsOf(message: unknown): ReasoningPart[] {
  const text = reasoningTextOf(message);
  const parts: ReasoningPart[] = [];
  let open: number | null = null;
  for (const { index, ...piece } of reasoningPiecesOf(message)) {
    const last = parts.at(-1);
    if (last && index !== null && index === open) {
      parts[parts.length - 1] = { ...last, ...piece, text: last.text + piece.text };
    } else parts.push({ type: 'reasoning', ...piece });
    open = index;
  }
  if (text !== '' && parts.every((part) => part.text === '')) {
    // Signed by itself, the text beside it: a single block is both.
    const [only] = parts;
    if (only && parts.length === 1 && !only.redacted) return [{ ...only, text }];
    return [{ type: 'reasoning', text }, ...parts];
  }
  return parts;
}

/** A block of reasoning, or a piece of one, as entries of `reasoning_details`. */
export function reasoningDetails({ text, signature, redacted, id }: Omit<ReasoningPiece, 'index'>, index: number): JsonObject[] {
  const common = { ...(id !== undefined && { id }), index };
  const details: JsonObject[] = [];
  if (text !== '' || signature) {
    details.push({
      type: 'reasoning.text',
      ...(text !== '' && { text }),
      ...(signature && { signature: signatureText(signature, 'openai-chat') }),
      ...common,
    });
  }
  if (redacted) details.push({ type: 'reasoning.encrypted', data: signatureText(redacted, 'openai-chat'), ...common });
  return details;
}
