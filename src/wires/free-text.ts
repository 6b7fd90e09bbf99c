import type { Generation, Part, Tool } from './generation.ts';
import { isObject } from './json-object.ts';
import { parseData } from './sse.ts';
import type { JsonObject } from './wire.ts';

/** A tool for free text is a function of one string to a model that knows functions alone: the member that holds the text. */
export const FREE_TEXT = 'input';

const BEGINNING = /^\s*\{\s*"input"\s*:\s*"/;
/** Looked for within so many characters, so that a stream of blanks costs no more than its length. */
const MOST_BEGINNING_CHARACTERS = 64;
/** What a string consists of: characters as they are, escapes, and its end. */
const TOKEN = /[^"\\]+|\\u[\da-f]{4}|\\[^]|"/giy;
const ESCAPE_CHARACTERS = 6;
const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\', '/': '/' };

const rewritten = new WeakMap<Generation, Generation>();

/** A request whose tools for free text, and the calls of them, are functions of one string. */
export function asFunctions(generation: Generation): Generation {
  const known = rewritten.get(generation) ?? {
    ...generation,
    tools: generation.tools.map(asFunction),
    messages: generation.messages.map((message) => ({ ...message, parts: message.parts.map(asFunctionCall) })),
  };
  rewritten.set(generation, known);
  return known;
}

function asFunction(tool: Tool): Tool {
  if (tool.kind === 'function') return tool;
  const { grammar, ...others } = tool;
  return { ...others, kind: 'function', parameters: freeTextSchema(grammar) };
}

function freeTextSchema(grammar: unknown): JsonObject {
  const description = grammar === undefined ? 'Free text.' : `Free text, by this grammar: ${JSON.stringify(grammar)}`;
  return { type: 'object', properties: { [FREE_TEXT]: { type: 'string', description } }, required: [FREE_TEXT] };
}

function asFunctionCall(part: Part): Part {
  if (part.type !== 'tool_call' || part.kind === 'function') return part;
  return { ...part, kind: 'function', input: JSON.stringify({ [FREE_TEXT]: part.input }) };
}

/** The free text in a function's arguments; the whole of them where they hold none. The same as a stream of them gives. */
export function freeTextOf(input: string): string {
  const text = new FreeText();
  return text.push(input) + text.end();
}

/**
 * Free text out of a function's arguments, as they come. A text that is told first goes on piece by piece, and what stands behind its end
 * is no part of it. Arguments that begin otherwise are kept to the end: only the whole of them tells what they are.
 */
export class FreeText {
  #state: 'before' | 'inside' | 'after' | 'unlike' = 'before';
  #held = '';
  /** The first half of a character whose second half is yet to come. */
  #half = '';

  push(piece: string): string {
    if (this.#state === 'after') return '';
    this.#held += piece;
    if (this.#state === 'before') this.#begin();
    return this.#state === 'inside' ? this.#decode() : '';
  }

  /** What is left at the end of the arguments. */
  end(): string {
    if (this.#state === 'after') return '';
    if (this.#state === 'inside') return this.#half + this.#held;
    const parsed = parseData(this.#held);
    const input = isObject(parsed) ? parsed[FREE_TEXT] : undefined;
    return typeof input === 'string' ? input : this.#held;
  }

  #begin(): void {
    const beginning = BEGINNING.exec(this.#held.slice(0, MOST_BEGINNING_CHARACTERS));
    if (beginning) {
      this.#state = 'inside';
      this.#held = this.#held.slice(beginning[0].length);
    } else if (this.#held.length >= MOST_BEGINNING_CHARACTERS) this.#state = 'unlike';
  }

  #decode(): string {
    const held = this.#held;
    let text = this.#half;
    let at = 0;
    while (this.#state === 'inside' && at < held.length && !isCutOff(held, at)) {
      TOKEN.lastIndex = at;
      const token = TOKEN.exec(held)?.[0] ?? '';
      at += token.length;
      if (token === '"') this.#state = 'after';
      else text += token.startsWith('\\') ? unescaped(token) : token;
    }
    this.#held = held.slice(at);
    const isHalf = this.#state === 'inside' && /[\ud800-\udbff]$/.test(text.slice(-1));
    this.#half = isHalf ? text.slice(-1) : '';
    return isHalf ? text.slice(0, -1) : text;
  }
}

/** Whether an escape begins here whose end is yet to come. */
function isCutOff(text: string, at: number): boolean {
  if (text[at] !== '\\') return false;
  return at + 1 === text.length || (text[at + 1] === 'u' && at + ESCAPE_CHARACTERS > text.length);
}

/** An escape that JSON does not know stays as it is. */
function unescaped(escape: string): string {
  if (escape.length === ESCAPE_CHARACTERS) return String.fromCharCode(Number.parseInt(escape.slice(2), 16));
  return ESCAPES[escape.slice(1)] ?? escape;
}
