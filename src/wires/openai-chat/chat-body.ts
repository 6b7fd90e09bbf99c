import type { Answer, Completion } from '../answer.ts';
import { madeCallId } from '../call-id.ts';
import type { Part, ToolCallPart } from '../generation.ts';
import type { AnswerContext, JsonObject } from '../wire.ts';
import { annotationsOf } from './annotations.ts';
import { extraContent } from './call-signature.ts';
import { finishWord } from './chat-finish.ts';
import { reasoningDetails } from './reasoning-details.ts';
import { usageBody } from './usage-body.ts';

/** An answer of any wire as a chat completion: https://platform.openai.com/docs/api-reference/chat/object */
export function chatBody({ completions, usage }: Answer, context: AnswerContext): JsonObject {
  return {
    id: `chatcmpl-${context.requestId}`,
    object: 'chat.completion',
    created: context.created,
    model: context.model,
    choices: completions.map((completion) => choiceOf(completion, context)),
    ...(usage && { usage: usageBody(usage) }),
  };
}

function choiceOf({ index, parts, finish, logprobs = null }: Completion, context: AnswerContext): JsonObject {
  const refusal = parts.some(({ type }) => type === 'refusal');
  return {
    index,
    message: messageOf(parts, (position) => madeCallId(context.requestId, index, position)),
    logprobs,
    finish_reason: finishWord(finish, { refusal }),
    ...nativeWord(finish),
  };
}

/** The provider's own word, where this wire has none for it. */
export function nativeWord({ reason, native }: Completion['finish']): JsonObject {
  return (reason === 'pause' || reason === 'error') && native !== undefined ? { native_finish_reason: native } : {};
}

/** An assistant's message. It has no place for the order of its parts: text, thoughts and calls are gathered, each in its own. */
export function messageOf(parts: readonly Part[], madeId: (position: number) => string): JsonObject {
  const texts = parts.filter((part) => part.type === 'text');
  const reasoning = parts.filter((part) => part.type === 'reasoning');
  const calls = parts.filter((part) => part.type === 'tool_call');
  const refusals = parts.filter((part) => part.type === 'refusal');
  const thoughts = reasoning.map(({ text }) => text).join('');
  const details = reasoning.flatMap((part, index) => reasoningDetails(part, index));
  const annotations = annotationsOf(texts.flatMap(({ citations = [] }) => citations));
  const signature = texts.findLast((part) => part.signature)?.signature;
  const text = texts.map((part) => part.text).join('');
  return {
    role: 'assistant',
    content: text === '' && (calls.length > 0 || refusals.length > 0) ? null : text,
    refusal: refusals.length > 0 ? refusals.map((part) => part.text).join('') : null,
    ...(thoughts !== '' && { reasoning_content: thoughts }),
    ...(details.length > 0 && { reasoning_details: details }),
    ...(annotations.length > 0 && { annotations }),
    ...(calls.length > 0 && { tool_calls: calls.map((call, position) => callBody(call, () => madeId(position))) }),
    ...(signature && extraContent(signature)),
  };
}

function callBody({ id, kind, name, input, signature }: ToolCallPart, madeId: () => string): JsonObject {
  const inside = kind === 'custom' ? { custom: { name, input } } : { function: { name, arguments: input || '{}' } };
  return { id: id || madeId(), type: kind, ...inside, ...(signature && extraContent(signature)) };
}
