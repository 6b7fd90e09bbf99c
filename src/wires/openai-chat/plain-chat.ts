import { promptTokensOf } from '../usage.ts';
import type { JsonObject } from '../wire.ts';
import { chatAnswer } from './chat-answer.ts';

/** What a whole answer comes to for somebody who reads it: the text of its first completion, and its tokens. */
export interface PlainAnswer {
  readonly text: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** The body of a chat of one question, answered in one piece. */
export function plainChat(model: string, question: string): JsonObject {
  return { model, messages: [{ role: 'user', content: question }], stream: false };
}

/** Reads the JSON answer to such a chat, whatever pieces its text comes in. A figure that is not told is 0. */
export function plainAnswer(body: object): PlainAnswer {
  const { completions, usage } = chatAnswer(body);
  const parts = completions[0]?.parts ?? [];
  return {
    text: parts.map((part) => (part.type === 'text' || part.type === 'refusal' ? part.text : '')).join(''),
    promptTokens: usage ? promptTokensOf({ ...usage, input: usage.input ?? 0 }) : 0,
    completionTokens: usage?.output ?? 0,
  };
}
