import { createHash } from 'node:crypto';
import type { Tool } from '../generation.ts';
import { isObject, objectsIn, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';

/** What all providers take as the name of a tool. */
const MOST_NAME_CHARACTERS = 64;
const HASH_CHARACTERS = 8;

/** A tool as the client named it. */
export interface OwnName {
  readonly name: string;
  readonly namespace?: string;
  readonly kind: 'function' | 'custom';
}

/**
 * The tools of a request as one list of functions. Other wires know no namespaces, so a tool in one gets a name of both; the names in an
 * answer are turned back. The same request gives the same names, whatever else was asked before.
 */
export class ToolNames {
  readonly tools: Tool[] = [];
  readonly #own = new Map<string, OwnName>();
  readonly #flat = new Map<string, string>();

  /** @param input may hold further tools, which a client found or added on the way. */
  constructor(tools: unknown, input: unknown) {
    const all = [...objectsIn(tools), ...objectsIn(input).flatMap((item) => (isToolItem(item) ? objectsIn(item['tools']) : []))];
    for (const tool of all) if (tool['type'] !== 'namespace') this.#add(tool);
    for (const tool of all) {
      if (tool['type'] !== 'namespace') continue;
      for (const inner of objectsIn(tool['tools'])) this.#add(inner, textIn(tool['name']), textIn(tool['description']));
    }
  }

  /** The name that providers of other wires know a tool by. */
  flat(name: string, namespace?: string): string {
    return this.#flat.get(keyOf(name, namespace)) ?? (namespace === undefined ? name : shortened(`${namespace}__${name}`, namespace, name));
  }

  /** The client's own name for it. */
  own(flat: string, kind: 'function' | 'custom'): OwnName {
    return this.#own.get(flat) ?? { name: flat, kind };
  }

  #add(tool: JsonObject, namespace?: string, about = ''): void {
    const kind = tool['type'];
    const name = textIn(tool['name']);
    if ((kind !== 'function' && kind !== 'custom') || this.#flat.has(keyOf(name, namespace))) return;
    const flat = namespace === undefined ? name : this.#unused(namespace, name);
    this.#flat.set(keyOf(name, namespace), flat);
    this.#own.set(flat, { name, kind, ...(namespace !== undefined && { namespace }) });
    this.tools.push(canonical(tool, kind, flat, about));
  }

  #unused(namespace: string, name: string): string {
    const plain = shortened(`${namespace}__${name}`, namespace, name);
    return this.#own.has(plain) ? hashed(plain, namespace, name) : plain;
  }
}

function isToolItem({ type }: JsonObject): boolean {
  return type === 'tool_search_output' || type === 'additional_tools';
}

function keyOf(name: string, namespace?: string): string {
  return namespace === undefined ? name : `${namespace}\0${name}`;
}

function shortened(joined: string, namespace: string, name: string): string {
  const plain = joined.replaceAll(/[^\w-]/g, '_');
  return plain === joined && plain.length <= MOST_NAME_CHARACTERS ? plain : hashed(plain, namespace, name);
}

/** Two names that come out the same, or too long, are told apart by a hash of what they were. */
function hashed(plain: string, namespace: string, name: string): string {
  const hash = createHash('sha256').update(keyOf(name, namespace)).digest('hex').slice(0, HASH_CHARACTERS);
  return `${plain.slice(0, MOST_NAME_CHARACTERS - HASH_CHARACTERS - 1)}_${hash}`;
}

function canonical(tool: JsonObject, kind: 'function' | 'custom', name: string, about: string): Tool {
  const description = [about, textIn(tool['description'])].filter((text) => text !== '').join('\n\n');
  const parameters = tool['parameters'];
  return {
    kind,
    name,
    ...(description !== '' && { description }),
    ...(kind === 'function' && typeof parameters === 'object' && parameters !== null && { parameters: parameters as JsonObject }),
    ...(kind === 'custom' && grammarOf(tool['format'])),
    ...(typeof tool['strict'] === 'boolean' && { strict: tool['strict'] }),
  };
}

/** Syntax and definition, without the word that says that they are a grammar. */
function grammarOf(format: unknown): { grammar?: JsonObject } {
  if (!isObject(format) || format['type'] === 'text') return {};
  const { type: _type, ...grammar } = format;
  return { grammar };
}
