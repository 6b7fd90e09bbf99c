import type {
  DocumentPart,
  Generation,
  ImagePart,
  MediaSource,
  Message,
  Part,
  ReasoningPart,
  TextPart,
  ToolResultPart,
} from '../generation.ts';
import type { JsonObject } from '../wire.ts';
import { CallLinks } from './call-links.ts';

/** Shown before what a tool gave where it failed: this wire has no other word for that. */
const FAILED = 'The tool failed:';

/** A conversation as the items of this wire. */
export function itemsOf({ messages }: Generation, developer: 'developer' | 'system'): JsonObject[] {
  const links = new CallLinks();
  return withoutLooseReasoning(messages.flatMap((message) => itemsOfMessage(message, links, developer)));
}

function itemsOfMessage({ role, parts }: Message, links: CallLinks, developer: 'developer' | 'system'): JsonObject[] {
  const items: JsonObject[] = [];
  let content: JsonObject[] = [];
  const flush = (): void => {
    if (content.length > 0) items.push({ type: 'message', role: role === 'system' ? developer : role, content });
    content = [];
  };
  for (const part of parts) {
    const item = itemOf(part, links);
    if (item) {
      flush();
      items.push(item);
    } else content.push(...(role === 'assistant' ? saidContent(part) : askedContent(part)));
  }
  flush();
  return items;
}

/** A part that is an item of its own. */
function itemOf(part: Part, links: CallLinks): JsonObject | null {
  if (part.type === 'tool_call') {
    const call = { call_id: links.called(part), name: part.name };
    return part.kind === 'custom'
      ? { type: 'custom_tool_call', ...call, input: part.input }
      : { type: 'function_call', ...call, arguments: part.input === '' ? '{}' : part.input };
  }
  if (part.type === 'tool_result') {
    const { id, kind } = links.answered(part);
    const type = kind === 'custom' ? 'custom_tool_call_output' : 'function_call_output';
    return { type, call_id: id, output: outputOf(part) };
  }
  return part.type === 'reasoning' ? reasoningItem(part) : null;
}

/** Thoughts go back to the wire that they came from, which knows them by their seal; of no other is anything readable here. */
function reasoningItem({ text, signature, id }: ReasoningPart): JsonObject | null {
  if (signature?.wire !== 'openai-responses') return null;
  return {
    type: 'reasoning',
    ...(id?.startsWith('rs_') === true && { id }),
    summary: text === '' ? [] : [{ type: 'summary_text', text }],
    encrypted_content: signature.value,
  };
}

function outputOf({ parts, isError }: ToolResultPart): string | JsonObject[] {
  const shown = isError ? [{ type: 'text', text: FAILED } as const, ...parts] : parts;
  if (shown.every((part) => part.type === 'text')) return shown.map(({ text }) => text).join('\n');
  return shown.flatMap(askedContent);
}

function saidContent(part: Part): JsonObject[] {
  if (part.type === 'text') return part.text === '' ? [] : [{ type: 'output_text', text: part.text }];
  return part.type === 'refusal' ? [{ type: 'refusal', refusal: part.text }] : [];
}

function askedContent(part: Part): JsonObject[] {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return textContent(part);
    case 'image':
      return [imageContent(part)];
    case 'document':
      return [documentContent(part)];
    case 'reasoning':
    case 'tool_call':
    case 'tool_result':
      return [];
  }
}

function textContent({ text }: Pick<TextPart, 'text'>): JsonObject[] {
  return text === '' ? [] : [{ type: 'input_text', text }];
}

function imageContent({ source, detail }: ImagePart): JsonObject {
  return { type: 'input_image', image_url: urlOf(source), detail: detail ?? 'auto' };
}

function documentContent({ source, title }: DocumentPart): JsonObject {
  const titled = (text: string): JsonObject => ({ type: 'input_text', text: title === undefined ? text : `${title}\n\n${text}` });
  if (source.kind === 'text') return titled(source.text);
  if (source.kind === 'url') return { type: 'input_file', file_url: source.url };
  if (source.mediaType.startsWith('text/')) return titled(Buffer.from(source.base64, 'base64').toString('utf8'));
  return { type: 'input_file', filename: title ?? 'document.pdf', file_data: urlOf(source) };
}

function urlOf(source: MediaSource): string {
  return source.kind === 'url' ? source.url : `data:${source.mediaType};base64,${source.base64}`;
}

/** A reasoning item is refused without what the model did after it. */
export function withoutLooseReasoning(items: readonly JsonObject[]): JsonObject[] {
  let isFollowed = false;
  const kept = items.toReversed().filter((item) => {
    const { type = 'message', role } = item;
    if (type !== 'reasoning') isFollowed = type !== 'message' ? !isResult(type) : role === 'assistant';
    return type !== 'reasoning' || isFollowed;
  });
  return kept.length === items.length ? (items as JsonObject[]) : kept.toReversed();
}

function isResult(type: unknown): boolean {
  return typeof type === 'string' && type.endsWith('_output');
}
