import { finishReasonOf, member } from './openai-chat/wire-chunk.ts';

/** What a model wrote in a choice. */
export interface Written {
  texts: string[];
  /** Sound, pictures and sealed thoughts, as base64. */
  binaryCharacters: number;
}

/** Names of members that a server writes by itself. All others are the model's, known to us or not: a new one must not come free. */
const OF_THE_SERVER = new RegExp(
  `^(?:${[
    'id|index|role|type|object|model|created|status|severity|channel|format|recipient|provider|service_tier|system_fingerprint',
    'finish_reason|native_finish_reason|stop_reason|finish_details|matched_stop|logprobs|token_ids|usage|error|obfuscation',
    'annotations|citations|search_results|content_filter_results?|content_filter_offsets|expires_at|mime_type|media_type|detail',
  ].join('|')})$|_(?:ids?|type)$|[a-z]Id$|[sS]ignature$`,
);
/** Names that are always the model's. */
const WORDS = new Set(['content', 'reasoning_content', 'reasoning', 'text']);
/** What a tool is called with: where it is no JSON text but JSON, everything in it was written. */
const ARGUMENTS = new Set(['arguments', 'input', 'parameters']);
const BINARY = new Set(['data', 'b64_json', 'encrypted_content']);
const BASE64 = /^[\w+/=-]+$/;
const DATA_URL = /^data:[\w.+-]+\/[\w.+-]+[;,]/;

/**
 * Everything in a choice of a chunk or an answer that a model wrote: content, reasoning, refusals, tool calls, and whatever else stands in it,
 * at any depth. Text that comes in two members (`reasoning` and `reasoning_details`) counts once.
 */
export function collectWritten(choice: unknown, into: Written): void {
  const members: string[][] = [];
  for (const part of [choice, member(choice, 'delta'), member(choice, 'message')]) {
    if (typeof part !== 'object' || part === null) continue;
    for (const [name, value] of Object.entries(part) as [string, unknown][]) {
      // Most members of most chunks.
      if (value === null || value === '' || typeof value === 'number') continue;
      if (part === choice && (name === 'delta' || name === 'message')) continue;
      if (typeof value === 'string' && WORDS.has(name)) members.push([value]);
      else {
        const { texts, binaryCharacters } = writtenIn(name, value);
        into.binaryCharacters += binaryCharacters;
        if (texts.length > 0) members.push(texts);
      }
    }
  }
  for (const text of members.length > 1 ? withoutRepeats(members) : (members[0] ?? [])) into.texts.push(text);
}

/** Whether a choice holds something that a model wrote, or says that it is finished: the one notion of what is worth delivering. */
export function isWorthDelivering(choice: unknown): boolean {
  const written: Written = { texts: [], binaryCharacters: 0 };
  collectWritten(choice, written);
  return written.texts.length > 0 || written.binaryCharacters > 0 || finishReasonOf(choice) !== null;
}

/** Without recursion: a provider decides how deep its answer is. */
function writtenIn(memberName: string, memberValue: unknown): Written {
  const written: Written = { texts: [], binaryCharacters: 0 };
  const stack = [{ name: memberName, value: memberValue, argument: false }];
  for (let next = stack.pop(); next; next = stack.pop()) {
    if (next.argument || !OF_THE_SERVER.test(next.name)) take(next.name, next.value, next.argument);
  }
  return written;

  function take(name: string, value: unknown, argument: boolean): void {
    if (typeof value === 'string') {
      if (value === '') return;
      if (isBinary(name, value)) written.binaryCharacters += value.length;
      else written.texts.push(value);
    } else if (typeof value === 'object' && value !== null) {
      const within = argument || ARGUMENTS.has(name);
      const entries = Array.isArray(value) ? value.map((item: unknown) => [name, item] as const) : Object.entries(value);
      for (const [key, item] of entries.toReversed()) {
        if (within && !Array.isArray(value)) written.texts.push(key);
        stack.push({ name: key, value: item as unknown, argument: within });
      }
    } else if (argument) {
      written.texts.push(String(value));
    }
  }
}

function isBinary(name: string, value: string): boolean {
  return DATA_URL.test(value) || (BINARY.has(name) && BASE64.test(value));
}

/** The texts of all members but those that an earlier member had already, whole or in pieces. */
function withoutRepeats(members: readonly string[][]): string[] {
  const seen = new Set<string>();
  const kept: string[] = [];
  for (const texts of members) {
    const whole = spaceless(texts.join(''));
    if (!seen.has(whole)) for (const text of texts) if (!seen.has(spaceless(text))) kept.push(text);
    for (const text of [whole, ...texts.map(spaceless)]) seen.add(text);
  }
  return kept;
}

/** The pieces of a summary are joined with other blanks than those between them. */
function spaceless(text: string): string {
  return text.replace(/\s+/g, '');
}
