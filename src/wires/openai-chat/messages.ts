import { z } from 'zod';
import { listOf, shaped } from '../../list-of.ts';
import { NO_MEDIA, type Media } from '../request.ts';

/** One part of a message's content. Only what the gateway must know of it; other members pass through. */
export interface ContentPart {
  type: string;
  text?: string;
  image_url?: { url: string };
}

/** One message of a chat. Only what the gateway must know of it; other members pass through. */
export interface ChatMessage {
  role: string;
  content?: string | ContentPart[] | null;
}

/** More than any model takes; bounds the work of validation. */
const MAX_MESSAGES = 4096;
const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'] as const;
const REFUSED_PARTS = new Set(['input_audio', 'audio', 'file', 'video_url', 'input_file']);
/** Longer lifetimes of a cache entry are billed at rates that no price list here knows. */
const PRICED_CACHE_LIFETIME = '30m';

const IMAGE_DATA = /^data:image\/[a-z0-9.+-]+[;,]/i;
const HTTPS = /^https:\/\/[^\s]+$/i;

const text = z.string();
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

type Complain = (path: (string | number)[], message: string) => void;

const PARTS = {
  type: ['string', 'array', 'null'],
  items: { type: 'object', required: ['type'], properties: { type: { type: 'string' } } },
};

const contentSchema = shaped(
  z
    .unknown()
    .superRefine((value, context) => {
      const complain: Complain = (path, message) => context.addIssue({ code: 'custom', path, message });
      if (value === undefined || value === null || typeof value === 'string') return;
      if (!Array.isArray(value)) return complain([], 'must be a string or a list of content parts');
      for (let index = 0; index < value.length && context.issues.length === 0; index++) {
        checkPart(value[index], (path, message) => complain([index, ...path], message));
      }
    })
    // Without this the member would have to be present.
    .optional(),
  { json: PARTS },
);

/** By hand, since a message may hold any number of them: a schema copies each. */
const toolCallsSchema = shaped(
  z
    .unknown()
    .superRefine((value, context) => {
      const complain: Complain = (path, message) => context.addIssue({ code: 'custom', path, message });
      if (value === undefined || value === null) return;
      if (!Array.isArray(value)) return complain([], 'must be a list');
      for (let index = 0; index < value.length && context.issues.length === 0; index++) {
        const call: unknown = value[index];
        if (!isObject(call)) complain([index], 'must be an object');
        else if (typeof (call['type'] ?? '') !== 'string') complain([index, 'type'], 'must be a string');
      }
    })
    .optional(),
  { json: { type: ['array', 'null'], items: { type: 'object' } } },
);

function checkPart(part: unknown, complain: Complain): void {
  if (!isObject(part)) return complain([], 'must be an object');
  const cacheLifetime = isObject(part['prompt_cache_breakpoint']) ? part['prompt_cache_breakpoint']['ttl'] : undefined;
  if (cacheLifetime !== undefined && cacheLifetime !== null && cacheLifetime !== PRICED_CACHE_LIFETIME) {
    return complain(['prompt_cache_breakpoint', 'ttl'], `only ${PRICED_CACHE_LIFETIME} has a known price`);
  }
  const { type } = part;
  if (type === 'text' || type === 'refusal') {
    if (typeof part[type] !== 'string') complain([type], 'must be a string');
  } else if (type === 'image_url') {
    const url = isObject(part['image_url']) ? part['image_url']['url'] : undefined;
    if (typeof url !== 'string' || !(IMAGE_DATA.test(url) || HTTPS.test(url))) {
      complain(['image_url', 'url'], 'must be a data: URL of an image or an https: URL');
    }
  } else if (typeof type === 'string' && REFUSED_PARTS.has(type)) {
    complain(['type'], `${type} is not supported: its cost cannot be known beforehand`);
  } else {
    complain(['type'], 'must be text, image_url or refusal');
  }
}

/**
 * Whether a message says something without content, null and left out being the same. An assistant's turn does by what else it holds: a
 * call, a refusal, its reasoning. A function's result may be nothing.
 */
function mayBeWithoutContent({ role, content: _content, name: _name, ...others }: Record<string, unknown>): boolean {
  if (role === 'function') return true;
  return role === 'assistant' && Object.values(others).some((value) => !isEmpty(value));
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

/** The `messages` of a chat request. Used to check, not to copy: what it accepts goes upstream whole. */
export const messagesSchema = listOf(
  z
    .looseObject({
      role: z.enum(ROLES),
      content: contentSchema,
      name: text.nullish(),
      tool_call_id: text.nullish(),
      tool_calls: toolCallsSchema,
      // Names an answer stored upstream, perhaps another tenant's.
      audio: z.null('refers to an object stored upstream, which is not supported').optional(),
    })
    .superRefine((message, context) => {
      if ((message.content === undefined || message.content === null) && !mayBeWithoutContent(message)) {
        context.addIssue({ code: 'custom', path: ['content'], message: 'is required' });
      }
    }),
  { min: 1, max: MAX_MESSAGES, of: 'messages' },
);

/** Finds the images in validated messages. */
export function mediaOf(messages: readonly ChatMessage[]): Media {
  let images = 0;
  let firstImageParam: string | null = null;
  let firstRemoteParam: string | null = null;
  for (const [index, message] of messages.entries()) {
    if (!Array.isArray(message.content)) continue;
    for (const [part, { type, image_url: image }] of message.content.entries()) {
      if (type !== 'image_url' || !image) continue;
      const param = `messages.${index}.content.${part}.image_url.url`;
      images += 1;
      firstImageParam ??= param;
      if (!IMAGE_DATA.test(image.url)) firstRemoteParam ??= param;
    }
  }
  return images === 0 ? NO_MEDIA : { ...NO_MEDIA, images, firstImageParam, firstRemoteParam };
}

/** The messages with the URLs of their images emptied: what is left is read as text. */
export function withoutImageData(messages: readonly ChatMessage[]): ChatMessage[] {
  return messages.map((message) => {
    if (!Array.isArray(message.content)) return message;
    const content = message.content.map((part) =>
      part.type === 'image_url' ? { ...part, image_url: { ...part.image_url, url: '' } } : part,
    );
    return { ...message, content };
  });
}

/** The text of a message, as far as it is text. */
export function textOf(message: ChatMessage | undefined): string {
  const { content } = message ?? {};
  if (typeof content === 'string') return content;
  return content ? content.map(({ text: words }) => words ?? '').join('\n') : '';
}
