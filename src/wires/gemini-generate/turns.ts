import type { Generation, Message, Part, ToolCallPart, ToolResultPart } from '../generation.ts';
import { markedAsSystem } from '../system-mark.ts';

/** A turn of the conversation as this wire counts them: the user's and the model's take turns. */
export interface Turn {
  readonly role: 'user' | 'model';
  readonly parts: Part[];
}

/** Messages in a row of the same role are one turn. Instructions in the middle of a conversation stay where they are, as marked text. */
export function turnsOf({ messages }: Generation): Turn[] {
  const turns: Turn[] = [];
  for (const message of messages) {
    const role = message.role === 'assistant' ? 'model' : 'user';
    const parts = message.role === 'system' ? markedInstructions(message) : message.parts;
    const last = turns.at(-1);
    if (last?.role === role) for (const part of parts) last.parts.push(part);
    else turns.push({ role, parts: [...parts] });
  }
  return turns;
}

function markedInstructions({ parts }: Message): Part[] {
  return parts.map((part) => (part.type === 'text' && part.text !== '' ? { ...part, text: markedAsSystem(part.text) } : part));
}

export function callsIn({ role, parts }: Turn): ToolCallPart[] {
  return role === 'model' ? parts.filter((part) => part.type === 'tool_call') : [];
}

/** A call and its result. */
export interface AnsweredCall {
  readonly call: ToolCallPart;
  readonly result: ToolResultPart;
}

/**
 * The results in a turn, in the order of the calls that they answer: results are known by their call's id or, without one, by their place.
 * Null where a call has no result, or a result has no call: this wire takes exactly one for each, in the turn right after the calls.
 */
export function pairCalls(calls: readonly ToolCallPart[], turn: Turn | undefined): AnsweredCall[] | null {
  const results = turn?.parts.filter((part) => part.type === 'tool_result') ?? [];
  if (results.length !== calls.length) return null;
  const waiting = new Map<string, ToolResultPart[]>();
  for (const result of results) waiting.set(result.callId, [...(waiting.get(result.callId) ?? []), result]);
  const pairs: AnsweredCall[] = [];
  for (const call of calls) {
    const result = waiting.get(call.id)?.shift();
    if (!result) return null;
    pairs.push({ call, result });
  }
  return pairs;
}

/** The first turn whose calls and results do not fit together; null where all do. */
export function unpairedTurn(turns: readonly Turn[]): Turn | null {
  for (const [index, turn] of turns.entries()) {
    if (turn.role === 'model' && !pairCalls(callsIn(turn), turns[index + 1])) return turn;
    const isFirst = index === 0 && turn.role === 'user';
    if (isFirst && turn.parts.some(({ type }) => type === 'tool_result')) return turn;
  }
  return null;
}
