import { madeCallId, shortCallId } from '../call-id.ts';
import type { DocumentPart, ImagePart, Message, Part, TextPart, ToolResultPart } from '../generation.ts';
import { isObject, listIn } from '../json-object.ts';
import { unpackToolId } from '../tool-id.ts';
import type { Target } from '../target.ts';
import type { JsonObject } from '../wire.ts';
import { extraContent } from './call-signature.ts';

/** Providers that want their thoughts back beside a call, or refuse it (https://api-docs.deepseek.com/guides/thinking_mode). */
const WANTING_THOUGHTS = new Set(['deepseek', 'moonshot']);

type Media = ImagePart | DocumentPart;

/** A conversation as `messages`. */
export interface WrittenMessages {
  readonly messages: readonly JsonObject[];
  /** Whether marks for a cache were left out, since the provider knows none. */
  readonly unmarked: boolean;
}

export function wireMessages(system: readonly TextPart[], messages: readonly Message[], target: Target): WrittenMessages {
  const writer = new MessageWriter(target);
  if (system.length > 0) writer.instruct(system);
  for (const message of messages) writer.add(message);
  return { messages: writer.messages, unmarked: writer.unmarked };
}

/** The messages with the data of images and documents emptied: what is left is read as text. */
export function withoutMedia(messages: readonly JsonObject[]): JsonObject[] {
  return messages.map((message) => {
    if (!Array.isArray(message['content'])) return message;
    return { ...message, content: listIn(message['content']).map(withoutData) };
  });
}

function withoutData(part: unknown): unknown {
  if (!isObject(part)) return part;
  if (isObject(part['image_url'])) return { ...part, image_url: { ...part['image_url'], url: '' } };
  return isObject(part['file']) ? { ...part, file: { ...part['file'], file_data: '' } } : part;
}

class MessageWriter {
  readonly messages: JsonObject[] = [];
  unmarked = false;
  readonly #target: Target;
  readonly #marks: boolean;
  /** Calls without an id, oldest first: their results have none either. */
  readonly #nameless: string[] = [];
  #media: Media[] = [];

  constructor(target: Target) {
    this.#target = target;
    this.#marks = target.dialect.takes.includes('cache_control');
  }

  /** `system` is known everywhere; `developer` is not. */
  instruct(parts: readonly Part[]): void {
    const texts = parts.filter((part) => part.type === 'text').filter(({ text }) => text !== '');
    if (texts.length > 0) this.messages.push({ role: 'system', content: this.#instructions(texts) });
  }

  add({ role, parts, name }: Message): void {
    if (role === 'system') return this.instruct(parts);
    if (role === 'assistant') return this.#assistant(parts, name);
    const results = parts.filter((part) => part.type === 'tool_result');
    for (const result of results) this.#result(result);
    const said = parts.filter((part) => part.type === 'text' || part.type === 'image' || part.type === 'document');
    // A tool's result is text on this wire: its images follow as the user's.
    const content = [...this.#media.splice(0), ...said];
    if (content.length > 0) this.messages.push({ role: 'user', content: this.#content(content), ...(name !== undefined && { name }) });
    else if (results.length === 0) this.messages.push({ role: 'user', content: '' });
  }

  #assistant(parts: readonly Part[], name: string | undefined): void {
    const texts = parts.filter((part) => part.type === 'text');
    const calls = parts.filter((part) => part.type === 'tool_call');
    const refusal = parts.map((part) => (part.type === 'refusal' ? part.text : '')).join('');
    const thoughts = parts.map((part) => (part.type === 'reasoning' ? part.text : '')).join('');
    const text = texts.map((part) => part.text).join('');
    if (parts.length > 0 && text === '' && calls.length === 0 && refusal === '') return;
    const wanted = WANTING_THOUGHTS.has(this.#target.providerId) || this.#target.dialect.takes.includes('reasoning_content');
    this.messages.push({
      role: 'assistant',
      content: text === '' && (calls.length > 0 || refusal !== '') ? null : text,
      ...(name !== undefined && { name }),
      ...(refusal !== '' && { refusal }),
      ...(wanted && thoughts !== '' && { reasoning_content: thoughts }),
      ...(calls.length > 0 && {
        tool_calls: calls.map(({ id, kind, name: called, input, signature }) => ({
          id: this.#callId(id),
          type: kind,
          ...(kind === 'custom' ? { custom: { name: called, input } } : { function: { name: called, arguments: input || '{}' } }),
          ...(signature && this.#target.dialect.takes.includes('extra_content') && extraContent(signature)),
        })),
      }),
    });
  }

  #callId(id: string): string {
    if (id !== '') return wireId(id);
    const made = madeCallId('nameless', this.messages.length, this.#nameless.length);
    this.#nameless.push(made);
    return made;
  }

  #result({ callId, parts, isError }: ToolResultPart): void {
    const texts = parts.filter((part) => part.type === 'text');
    this.#media.push(...parts.filter((part) => part.type !== 'text'));
    const text = texts.map((part) => part.text).join('\n');
    // The wire has no mark for a tool that failed.
    const content = isError && !/error/i.test(text.slice(0, 100)) ? `Error: ${text}` : text;
    this.messages.push({ role: 'tool', tool_call_id: callId === '' ? (this.#nameless.shift() ?? '') : wireId(callId), content });
  }

  /** One string, which every server takes, unless there are marks in it. */
  #instructions(texts: readonly TextPart[]): string | JsonObject[] {
    const isMarked = this.#marks && texts.some(({ cache }) => cache !== undefined);
    if (isMarked) return this.#parts(texts);
    this.unmarked ||= texts.some(({ cache }) => cache !== undefined);
    return texts.map(({ text }) => text).join('\n\n');
  }

  #content(parts: readonly (TextPart | Media)[]): string | JsonObject[] {
    const [only] = parts;
    return parts.length === 1 && only?.type === 'text' ? this.#instructions([only]) : this.#parts(parts);
  }

  #parts(parts: readonly (TextPart | Media)[]): JsonObject[] {
    if (!this.#marks) this.unmarked ||= parts.some(({ cache }) => cache !== undefined);
    return parts.map((part) => ({ ...contentPart(part), ...(part.cache && this.#marks && cacheControl(part.cache)) }));
  }
}

/** Ids as their maker wrote them, which Kimi reads, but no longer than the wire takes. */
function wireId(id: string): string {
  return shortCallId(unpackToolId(id));
}

function cacheControl(cache: '5m' | '1h'): JsonObject {
  return { cache_control: { type: 'ephemeral', ...(cache === '1h' && { ttl: cache }) } };
}

function contentPart(part: TextPart | Media): JsonObject {
  if (part.type === 'text') return { type: 'text', text: part.text };
  const { source } = part;
  if (source.kind === 'text') return { type: 'text', text: source.text };
  const url = source.kind === 'url' ? source.url : `data:${source.mediaType};base64,${source.base64}`;
  if (part.type === 'image') return { type: 'image_url', image_url: { url, ...(part.detail !== undefined && { detail: part.detail }) } };
  if (source.kind === 'data' && source.mediaType.startsWith('text/')) {
    return { type: 'text', text: Buffer.from(source.base64, 'base64').toString() };
  }
  return { type: 'file', file: { filename: part.title ?? 'document.pdf', file_data: url } };
}
