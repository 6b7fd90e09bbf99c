import type { DocumentPart, ImagePart, MediaSource, Message, Part, TextPart, ToolCallPart, ToolResultPart } from '../generation.ts';
import { isObject, objectsIn, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { callOf, reasoningTextOf } from './output-items.ts';
import { sealedFrom } from './sealed.ts';
import type { ToolNames } from './tool-names.ts';

interface Conversation {
  /** System and developer messages at its beginning. */
  readonly leading: TextPart[];
  readonly messages: Message[];
}

/** The items of a checked input as messages: what an assistant said and called stands in one, and so do the results of its tools. */
export function messagesOf(input: unknown, names: ToolNames): Conversation {
  if (typeof input === 'string') return { leading: [], messages: [{ role: 'user', parts: [{ type: 'text', text: input }] }] };
  const reading = new Reading(names);
  for (const [index, item] of objectsIn(input).entries()) reading.add(item, `input.${index}`);
  return reading;
}

class Reading implements Conversation {
  readonly leading: TextPart[] = [];
  readonly messages: { role: Message['role']; parts: Part[] }[] = [];
  readonly #names: ToolNames;
  /** The names of the tools that were called, by the ids of the calls. */
  readonly #called = new Map<string, string>();

  constructor(names: ToolNames) {
    this.#names = names;
  }

  add(item: JsonObject, param: string): void {
    const type = item['type'] ?? 'message';
    if (type === 'message') this.#addMessage(item, param);
    else if (type === 'reasoning') this.#addReasoning(item);
    else if (type === 'function_call' || type === 'custom_tool_call') this.#addCall(item);
    else if (typeof type === 'string' && type.endsWith('_output')) this.#addResult(item, param);
    // What the provider's own search did is of no use elsewhere, and added tools are tools. All others are calls that the client ran.
    else if (type !== 'web_search_call' && type !== 'additional_tools') this.#addLocalCall(item);
  }

  #addMessage(item: JsonObject, param: string): void {
    const parts = contentParts(item['content'], `${param}.content`);
    const { role } = item;
    if (role === 'assistant') this.#say(parts);
    else if (role === 'user') this.messages.push({ role, parts });
    else if (this.messages.length === 0) this.leading.push(...parts.filter((part) => part.type === 'text'));
    else this.messages.push({ role: 'system', parts });
  }

  #addReasoning(item: JsonObject): void {
    const text = reasoningTextOf(item);
    const id = textIn(item['id']);
    const encrypted = textIn(item['encrypted_content']);
    const sealed = encrypted === '' ? undefined : sealedFrom(encrypted);
    if (sealed?.of === 'previous') return this.#signPrevious(sealed.signature);
    if (text === '' && !sealed) return;
    const signed = sealed && (sealed.of === 'redacted' ? { redacted: sealed.signature } : { signature: sealed.signature });
    this.#say([{ type: 'reasoning', text, ...signed, ...(id !== '' && { id }) }]);
  }

  #signPrevious(signature: TextPart['signature']): void {
    const parts = this.messages.at(-1)?.role === 'assistant' ? this.messages.at(-1)?.parts : undefined;
    const last = parts?.pop();
    if (last) parts?.push(last.type === 'text' || last.type === 'tool_call' ? { ...last, signature } : last);
  }

  #addCall(item: JsonObject): void {
    const call = callOf(item);
    this.#call({ ...call, name: this.#names.flat(call.name, typeof item['namespace'] === 'string' ? item['namespace'] : undefined) });
  }

  /** A call in members of its own, as `local_shell_call` and its like are. */
  #addLocalCall(item: JsonObject): void {
    const input = item['action'] ?? item['operation'] ?? item['arguments'] ?? {};
    const id = textIn(item['call_id']) || textIn(item['id']);
    const name = textIn(item['type']).replace(/_call$/, '');
    this.#call({ type: 'tool_call', kind: 'function', id, name, input: typeof input === 'string' ? input : JSON.stringify(input) });
  }

  #call(call: ToolCallPart): void {
    this.#called.set(call.id, call.name);
    this.#say([call]);
  }

  #addResult(item: JsonObject, param: string): void {
    const callId = textIn(item['call_id']) || textIn(item['id']);
    const name = this.#called.get(callId);
    const result: ToolResultPart = {
      type: 'tool_result',
      callId,
      ...(name !== undefined && { name }),
      parts: resultParts(item, param),
      isError: item['status'] === 'failed',
    };
    const last = this.messages.at(-1);
    if (last?.role === 'user' && last.parts.every(({ type }) => type === 'tool_result')) last.parts.push(result);
    else this.messages.push({ role: 'user', parts: [result] });
  }

  #say(parts: readonly Part[]): void {
    const last = this.messages.at(-1);
    if (last?.role === 'assistant') last.parts.push(...parts);
    else this.messages.push({ role: 'assistant', parts: [...parts] });
  }
}

/** Text or parts, and of tools that a client runs by itself whatever they gave, as JSON. */
function resultParts(item: JsonObject, param: string): (TextPart | ImagePart | DocumentPart)[] {
  const output = item['type'] === 'tool_search_output' ? item['tools'] : (item['output'] ?? '');
  if (item['type'] === 'function_call_output' || item['type'] === 'custom_tool_call_output') {
    return contentParts(output, `${param}.output`).filter((part) => part.type !== 'refusal');
  }
  return [{ type: 'text', text: typeof output === 'string' ? output : JSON.stringify(output) }];
}

type ContentPart = TextPart | ImagePart | DocumentPart | Extract<Part, { type: 'refusal' }>;

function contentParts(content: unknown, param: string): ContentPart[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return objectsIn(content).map((part, index) => contentPart(part, `${param}.${index}`));
}

function contentPart(part: JsonObject, param: string): ContentPart {
  const cache = isObject(part['prompt_cache_breakpoint']) ? { cache: '5m' as const } : {};
  switch (part['type']) {
    case 'refusal':
      return { type: 'refusal', text: textIn(part['refusal']) };
    case 'input_image': {
      const detail = textIn(part['detail']);
      const source = sourceOf(textIn(part['image_url']));
      return { type: 'image', source, ...(detail !== '' && { detail }), ...cache, param: `${param}.image_url` };
    }
    case 'input_file': {
      const title = textIn(part['filename']);
      const source = sourceOf(textIn(part['file_data']));
      return { type: 'document', source, ...(title !== '' && { title }), ...cache, param: `${param}.file_data` };
    }
    default:
      return { type: 'text', text: textIn(part['text']), ...cache };
  }
}

function sourceOf(url: string): MediaSource {
  const comma = url.indexOf(',');
  const mediaType = /^data:([^;,]+);base64$/i.exec(url.slice(0, comma))?.[1];
  return mediaType === undefined
    ? { kind: 'url', url }
    : { kind: 'data', mediaType: mediaType.toLowerCase(), base64: url.slice(comma + 1) };
}
