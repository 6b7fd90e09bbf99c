import { madeCallId } from '../call-id.ts';
import type { ImagePart, MediaSource, Message, Part, TextPart, ToolResultPart } from '../generation.ts';
import { isObject, listIn, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { extraSignatureOf } from './call-signature.ts';
import { cacheMarkOf, requiredText } from './reading.ts';
import { reasoningPartsOf } from './reasoning-details.ts';
import { callPieceOf } from './tool-calls.ts';

/** The messages of a chat request, checked by `messagesSchema`: what stands before the conversation, and its turns. */
export function conversationOf(messages: readonly unknown[]): { system: TextPart[]; messages: Message[] } {
  const system: TextPart[] = [];
  const turns: Message[] = [];
  const calls = new Calls();
  for (const [index, value] of messages.entries()) {
    const message = isObject(value) ? value : {};
    const path = `messages.${index}`;
    const role = message['role'];
    if (role === 'system' || role === 'developer') {
      const parts = contentParts(message['content'], path).filter((part) => part.type === 'text');
      if (turns.length === 0) system.push(...parts);
      else turns.push({ role: 'system', parts });
    } else if (role === 'tool' || role === 'function') addResult(turns, calls.result(message, path));
    else if (role === 'assistant') turns.push({ role, parts: assistantParts(message, path, calls), ...nameOf(message) });
    else turns.push({ role: 'user', parts: contentParts(message['content'], path), ...nameOf(message) });
  }
  return { system, messages: turns };
}

function nameOf({ name }: JsonObject): { name?: string } {
  return typeof name === 'string' && name !== '' ? { name } : {};
}

/** Results that follow each other answer one turn: they are one message. */
function addResult(turns: Message[], result: ToolResultPart): void {
  const last = turns.at(-1);
  const isResults = last?.role === 'user' && last.parts.every(({ type }) => type === 'tool_result');
  if (last && isResults) turns[turns.length - 1] = { ...last, parts: [...last.parts, result] };
  else turns.push({ role: 'user', parts: [result] });
}

function contentParts(content: unknown, path: string): (TextPart | ImagePart)[] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }];
  const parts: (TextPart | ImagePart)[] = [];
  for (const [index, part] of listIn(content).entries()) {
    if (!isObject(part)) continue;
    const cache = cacheMarkOf(part['cache_control'] ?? part['prompt_cache_breakpoint']);
    const mark = cache ? { cache } : {};
    if (part['type'] === 'image_url' && isObject(part['image_url'])) {
      const { url, detail } = part['image_url'];
      const param = `${path}.content.${index}.image_url.url`;
      const source = mediaSource(requiredText(url, param));
      parts.push({ type: 'image', source, param, ...(typeof detail === 'string' && { detail }), ...mark });
    } else if (typeof part['text'] === 'string' && part['text'] !== '') parts.push({ type: 'text', text: part['text'], ...mark });
  }
  return parts;
}

const DATA_URL = /^data:([^;,]+)((?:;[^;,]*)*),/i;

function mediaSource(url: string): MediaSource {
  const [head, mediaType = '', settings = ''] = DATA_URL.exec(url) ?? [];
  if (head === undefined) return { kind: 'url', url };
  const data = url.slice(head.length);
  if (/;base64$/i.test(settings)) return { kind: 'data', mediaType, base64: data };
  return { kind: 'data', mediaType, base64: Buffer.from(unescaped(data)).toString('base64') };
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function assistantParts(message: JsonObject, path: string, calls: Calls): Part[] {
  const { content, refusal } = message;
  const texts: Part[] = contentParts(content, path);
  const signature = extraSignatureOf(message);
  const at = texts.findLastIndex(({ type }) => type === 'text');
  if (signature && at < 0) texts.push({ type: 'text', text: '', signature });
  else if (signature) texts[at] = { ...(texts[at] as TextPart), signature };
  const refusals = [...listIn(content).map((part) => (isObject(part) ? textIn(part['refusal']) : '')), textIn(refusal)];
  return [
    ...reasoningPartsOf(message),
    ...texts,
    ...refusals.filter((text) => text !== '').map((text): Part => ({ type: 'refusal', text })),
    ...calls.read(message, path),
  ];
}

/** The calls of a conversation, so that results find them: by id, by name (the old `function` role), or as the oldest without a result. */
class Calls {
  readonly #names = new Map<string, string>();
  readonly #open = new Map<string, string>();

  read(message: JsonObject, path: string): Part[] {
    const parts: Part[] = [];
    const add = (call: unknown, callPath: string, inside: string): void => {
      const { id, name, input = '', kind = 'function', signature } = callPieceOf(call);
      const known = { id: id || madeCallId(callPath), name: requiredText(name, `${callPath}.${inside}name`) };
      this.#names.set(known.id, known.name);
      this.#open.set(known.id, known.name);
      parts.push({ type: 'tool_call', ...known, input, kind, ...(signature && { signature }) });
    };
    for (const [index, call] of listIn(message['tool_calls']).entries()) {
      const isCustom = isObject(call) && isObject(call['custom']);
      add(call, `${path}.tool_calls.${index}`, isCustom ? 'custom.' : 'function.');
    }
    if (isObject(message['function_call'])) add({ function: message['function_call'] }, `${path}.function_call`, '');
    return parts;
  }

  result(message: JsonObject, path: string): ToolResultPart {
    const said = textIn(message['tool_call_id']);
    const named = textIn(message['name']);
    const callId = said || this.#oldest(named) || madeCallId(path);
    const name = this.#names.get(callId) ?? named;
    this.#open.delete(callId);
    return { type: 'tool_result', callId, ...(name !== '' && { name }), parts: contentParts(message['content'], path), isError: false };
  }

  #oldest(name: string): string | undefined {
    for (const [id, called] of this.#open) if (name === '' || called === name) return id;
    return undefined;
  }
}
