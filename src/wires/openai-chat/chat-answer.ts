import type { Answer, Completion } from '../answer.ts';
import { madeCallId } from '../call-id.ts';
import type { Part, TextPart } from '../generation.ts';
import { extraSignatureOf } from './call-signature.ts';
import { finishOf } from './chat-finish.ts';
import { citationsOf, contentPiecesOf } from './content-pieces.ts';
import { reasoningPartsOf } from './reasoning-details.ts';
import { callPieceOf, callsOf } from './tool-calls.ts';
import { reportedUsageOf } from './usage.ts';
import { member } from '../json-object.ts';
import { choicesOf, finishReasonOf, rawUsageOf } from './wire-chunk.ts';

/** A JSON body of the chat wire in the canonical form. */
export function chatAnswer(body: object): Answer {
  const id = member(body, 'id');
  const answerId = typeof id === 'string' ? id : '';
  return {
    completions: choicesOf(body).map((choice, position) => completionOf(choice, position, answerId)),
    usage: reportedUsageOf(rawUsageOf(body)),
  };
}

function completionOf(choice: unknown, position: number, answerId: string): Completion {
  const message = member(choice, 'message');
  const said = member(choice, 'index');
  const index = Number.isSafeInteger(said) ? (said as number) : position;
  const parts = [...reasoningPartsOf(message), ...contentPartsOf(message), ...callPartsOf(message, answerId, index)];
  const held = { calls: parts.some(({ type }) => type === 'tool_call'), refusal: parts.some(({ type }) => type === 'refusal') };
  const logprobs = member(choice, 'logprobs') ?? null;
  return { index, parts, finish: finishOf(choice, finishReasonOf(choice) ?? 'stop', held), ...(logprobs !== null && { logprobs }) };
}

function contentPartsOf(message: unknown): Part[] {
  const parts: Part[] = contentPiecesOf(message);
  const citations = citationsOf(message);
  const signature = extraSignatureOf(message);
  if (citations.length === 0 && !signature) return parts;
  const at = parts.findLastIndex(({ type }) => type === 'text');
  const text: TextPart = {
    ...((parts[at] as TextPart | undefined) ?? { type: 'text', text: '' }),
    ...(citations.length > 0 && { citations }),
    ...(signature && { signature }),
  };
  return at < 0 ? [...parts, text] : parts.with(at, text);
}

function callPartsOf(message: unknown, answerId: string, index: number): Part[] {
  return callsOf(message).map((call, position) => {
    const { id, name = '', input = '', kind = 'function', signature } = callPieceOf(call);
    return { type: 'tool_call', id: id || madeCallId(answerId, index, position), name, input, kind, ...(signature && { signature }) };
  });
}
