import { parseExactJson } from '../exact-json.ts';
import type { CacheMark, DocumentPart, ImagePart, Message, Part, ToolCallPart, ToolResultPart } from '../generation.ts';
import { isObject } from '../json-object.ts';
import { packToolId } from '../tool-id.ts';
import type { JsonObject } from '../wire.ts';

/** Canonical parts as blocks of a message: https://docs.anthropic.com/en/api/messages. */

const WIRE = 'anthropic-messages';
/** Media types that Claude reads. */
export const IMAGE_TYPES: ReadonlySet<string> = new Set(['image/jpeg', 'image/png', 'image/gif', 'image/webp']);
export const PDF = 'application/pdf';

/** The ids of tool calls in one request. One that was left empty is made up, and answered by the next result that names none. */
export class CallIds {
  readonly #unanswered: string[] = [];
  #made = 0;

  ofCall({ id }: ToolCallPart): string {
    if (id !== '') return packToolId(id);
    const made = `call_${++this.#made}`;
    this.#unanswered.push(made);
    return made;
  }

  ofResult({ callId }: ToolResultPart): string {
    return callId === '' ? (this.#unanswered.shift() ?? 'call_0') : packToolId(callId);
  }
}

export function cacheControl(mark: CacheMark | undefined): JsonObject {
  return mark === undefined ? {} : { cache_control: { type: 'ephemeral', ...(mark === '1h' && { ttl: mark }) } };
}

/** The blocks of a turn. Text without a word in it is left out: it is refused. */
export function blocksOf({ role, parts }: Message, ids: CallIds): JsonObject[] {
  return parts.map((part) => blockOf(part, role, ids)).filter((block) => block !== null);
}

function blockOf(part: Part, role: Message['role'], ids: CallIds): JsonObject | null {
  switch (part.type) {
    case 'text':
      return textBlock(part.text, part.cache);
    case 'refusal':
      return textBlock(part.text);
    case 'image':
      return imageBlock(part);
    case 'document':
      return documentBlock(part);
    case 'reasoning':
      if (role !== 'assistant') return null;
      if (part.redacted?.wire === WIRE) return { type: 'redacted_thinking', data: part.redacted.value };
      // Without its own signature a thought is worth nothing.
      return part.signature?.wire === WIRE ? { type: 'thinking', thinking: part.text, signature: part.signature.value } : null;
    case 'tool_call':
      return { type: 'tool_use', id: ids.ofCall(part), name: part.name, input: inputOf(part), ...cacheControl(part.cache) };
    case 'tool_result':
      return resultBlock(part, ids);
  }
}

export function textBlock(text: string, cache?: CacheMark): JsonObject | null {
  return text.trim() === '' ? null : { type: 'text', text, ...cacheControl(cache) };
}

function imageBlock({ source, cache }: ImagePart): JsonObject {
  const wired =
    source.kind === 'url'
      ? { type: 'url', url: source.url }
      : { type: 'base64', media_type: source.mediaType.toLowerCase(), data: source.base64 };
  return { type: 'image', source: wired, ...cacheControl(cache) };
}

function documentBlock({ source, title, cache }: DocumentPart): JsonObject {
  return { type: 'document', source: documentSource(source), ...(title !== undefined && { title }), ...cacheControl(cache) };
}

function documentSource(source: DocumentPart['source']): JsonObject {
  if (source.kind === 'url') return { type: 'url', url: source.url };
  if (source.kind === 'text') return { type: 'text', media_type: 'text/plain', data: source.text };
  if (source.mediaType.startsWith('text/')) {
    return { type: 'text', media_type: 'text/plain', data: Buffer.from(source.base64, 'base64').toString() };
  }
  return { type: 'base64', media_type: PDF, data: source.base64 };
}

/** Arguments have to be an object: those that were cut off, or are free text, become a member of one. */
export function inputOf({ input }: ToolCallPart): unknown {
  if (input.trim() === '') return {};
  try {
    const { value, verbatim } = parseExactJson(input);
    return isObject(value) ? verbatim : { input: verbatim };
  } catch {
    return { input };
  }
}

function resultBlock(part: ToolResultPart, ids: CallIds): JsonObject {
  const content = blocksOf({ role: 'user', parts: part.parts }, ids);
  return {
    type: 'tool_result',
    tool_use_id: ids.ofResult(part),
    ...(content.length > 0 && { content }),
    ...(part.isError && { is_error: true }),
    ...cacheControl(part.cache),
  };
}
