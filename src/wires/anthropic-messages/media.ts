import { isObject } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';

/** Blocks with the data of their images and PDFs emptied: what is left is read as text. */
export function withoutMedia(content: unknown): unknown {
  return Array.isArray(content) ? content.map((block: unknown) => (isObject(block) ? blockWithout(block) : block)) : content;
}

/** Messages with the data of their images and PDFs emptied. */
export function messagesWithoutMedia(messages: unknown): unknown {
  if (!Array.isArray(messages)) return messages;
  return messages.map((message: unknown) => (isObject(message) ? { ...message, content: withoutMedia(message['content']) } : message));
}

function blockWithout(block: JsonObject): JsonObject {
  const { source, content } = block;
  if (isObject(source)) return { ...block, source: sourceWithout(source) };
  return Array.isArray(content) ? { ...block, content: withoutMedia(content) } : block;
}

function sourceWithout(source: JsonObject): JsonObject {
  if (source['type'] === 'base64') return { ...source, data: '' };
  return source['type'] === 'content' ? { ...source, content: withoutMedia(source['content']) } : source;
}
