import { createHash } from 'node:crypto';

/** OpenAI's chat takes no longer ones; the alphabet is one that every provider takes. */
const MOST_CHARACTERS = 40;

/**
 * An id for a tool call that came without one: always the same for the same place in the same answer, so that a call and its result find
 * each other however often they are read.
 * @param answer what tells the answer from all others: its own id, or the request's.
 */
export function madeCallId(answer: string, ...place: readonly (number | string)[]): string {
  return `call_${digest([answer, ...place].join('\0'))}`;
}

/** An id as the chat wire takes it: the same, or one made from it where it is too long. Two different ids never become one. */
export function shortCallId(id: string): string {
  return id.length <= MOST_CHARACTERS ? id : `call_${digest(id)}`;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}
