import type { BlockHead } from '../answer.ts';
import { isObject } from '../json-object.ts';
import { parseData } from '../sse.ts';

/** Where a provider without tools for free text was given one as a function of one string: the member that holds it. */
const FREE_TEXT = 'input';

/** Whether a call came as a function's although the client's tool takes free text. */
export function isWrapped(head: BlockHead, kind: 'function' | 'custom'): boolean {
  return head.type === 'tool_call' && head.kind === 'function' && kind === 'custom';
}

/** The free text in a function's arguments; the whole of them where they are not what was asked for. */
export function inputOfFunction(text: string): string {
  const parsed = parseData(text);
  const input = isObject(parsed) ? parsed[FREE_TEXT] : undefined;
  return typeof input === 'string' ? input : text;
}
