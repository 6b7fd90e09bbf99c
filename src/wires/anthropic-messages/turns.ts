import type { ToolChoice } from '../generation.ts';
import { isObject, listIn } from '../json-object.ts';
import { markedAsSystem } from '../system-mark.ts';
import type { JsonObject } from '../wire.ts';
import { forcesTool } from './tools.ts';

/** A message on the wire, its content as blocks. */
export interface Turn {
  readonly role: 'user' | 'assistant' | 'system';
  content: JsonObject[];
}

/** What stands first where a conversation begins with the assistant, which the API refuses. */
const BEGINNING = '(The conversation begins.)';
/** More marks than these are refused; the last ones cover the longest prefixes. */
const MOST_CACHE_MARKS = 4;

const isResult = (block: JsonObject): boolean => block['type'] === 'tool_result';

/** A turn's blocks said by a role that cannot stand where it does: as a user's text that is marked as the operator's. */
export function asMarkedText(content: readonly JsonObject[]): JsonObject[] {
  return content.map((block) => (block['type'] === 'text' ? { ...block, text: markedAsSystem(String(block['text'])) } : block));
}

/**
 * Turns as the API wants them: none empty, roles in turn, the results of tools first and right after the turn that called them, and a
 * user's word at the beginning.
 */
export function inOrder(turns: readonly Turn[]): Turn[] {
  const ordered: Turn[] = [];
  for (const { role, content } of turns) {
    const results = content.filter(isResult);
    const others = results.length > 0 ? content.filter((block) => !isResult(block)) : content;
    if (results.length > 0) addResults(ordered, results);
    if (others.length === 0) continue;
    const last = ordered.at(-1);
    if (last?.role === role && role !== 'system') last.content.push(...others);
    else ordered.push({ role, content: [...others] });
  }
  if (ordered[0]?.role === 'assistant') ordered.unshift({ role: 'user', content: [{ type: 'text', text: BEGINNING }] });
  return withoutTrailingBlanks(ordered);
}

function addResults(turns: Turn[], results: readonly JsonObject[]): void {
  const answering = turns.findLastIndex(({ role }) => role === 'assistant') + 1;
  const turn = turns[answering];
  if (turn?.role !== 'user') {
    turns.splice(answering, 0, { role: 'user', content: [...results] });
    return;
  }
  const after = turn.content.findLastIndex(isResult) + 1;
  turn.content.splice(after, 0, ...results);
}

/** The beginning of an answer may not end in blanks. */
function withoutTrailingBlanks(turns: Turn[]): Turn[] {
  const last = turns.at(-1);
  const block = last?.role === 'assistant' ? last.content.at(-1) : undefined;
  if (last && block?.['type'] === 'text')
    last.content = [...last.content.slice(0, -1), { ...block, text: String(block['text']).trimEnd() }];
  return turns;
}

/** Removes the marks that are too many, those of the shortest prefixes first. */
export function limitCacheMarks(blocks: readonly JsonObject[]): void {
  const marked = blocks.filter((block) => block['cache_control'] !== undefined);
  for (const block of marked.slice(0, -MOST_CACHE_MARKS)) delete block['cache_control'];
}

/**
 * A forced tool, and the beginning of an answer, do not go together with thinking. Nor does an answer to a tool whose call came without
 * the signed thought before it, which another wire may have lost.
 */
export function mayThink(choice: ToolChoice | null, turns: readonly { role: string; content: unknown }[]): boolean {
  if (forcesTool(choice)) return false;
  const last = turns.findLast(({ role }) => role !== 'system');
  if (last?.role === 'assistant') return false;
  if (typeOfFirst(last) !== 'tool_result') return true;
  const calling = typeOfFirst(turns.findLast(({ role }) => role === 'assistant'));
  return calling === 'thinking' || calling === 'redacted_thinking';
}

function typeOfFirst(turn: { content: unknown } | undefined): unknown {
  const [first] = listIn(turn?.content);
  return isObject(first) ? first['type'] : undefined;
}
