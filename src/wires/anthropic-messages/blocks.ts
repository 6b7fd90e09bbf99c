import { at, fault, type Check, type Fault } from '../fault.ts';
import { isObject } from '../json-object.ts';
import { IMAGE_TYPES, PDF } from './content.ts';
import { aText, anObject, EXTRA, listOfAll, objectOf, oneOf, optional, REQUIRED } from './checks.ts';

/** Checks the content of a conversation. What is accepted goes upstream whole. */

const MOST_MESSAGES = 10_000;
const MOST_BLOCKS = 100_000;
const HTTPS = /^https:\/\/[^\s]+$/i;
const ID = /^[a-zA-Z0-9_-]+$/;

/** Longer lifetimes would have other prices. */
export const cacheControl = optional(objectOf({ type: oneOf('ephemeral'), ttl: optional(oneOf('5m', '1h')) }, { closed: true }));

const anId: Check = (value) => aText(value) ?? (ID.test(value as string) ? null : fault('must be letters, digits, _ and -'));
const aFlag: Check = optional((value) => (typeof value === 'boolean' ? null : fault('must be true or false')));
const textBlock = objectOf({ type: oneOf('text'), text: aText, cache_control: cacheControl });

function content(types: readonly string[]): Check {
  const blocks = listOfAll((block) => checkBlock(block, types), MOST_BLOCKS);
  return (value) => (typeof value === 'string' ? null : blocks(value));
}

const IN_SOURCES = ['text', 'image'];
const IN_RESULTS = ['text', 'image', 'document', 'search_result', 'tool_reference'];
const IN_TURNS: Readonly<Record<string, readonly string[]>> = {
  user: ['text', 'image', 'document', 'search_result', 'tool_result', 'tool_addition', 'tool_removal'],
  assistant: ['text', 'thinking', 'redacted_thinking', 'tool_use'],
  system: ['text', 'tool_addition', 'tool_removal'],
};

const url: Check = (value) => aText(value) ?? (HTTPS.test(value as string) ? null : fault('must be an https: URL'));

function source(mediaTypes: ReadonlySet<string>, more: Readonly<Record<string, Check>> = {}): Check {
  const kinds: Readonly<Record<string, Check>> = {
    base64: objectOf({ media_type: oneOf(...mediaTypes), data: aText }),
    url: objectOf({ url }),
    ...more,
  };
  return (value) => {
    if (!isObject(value)) return anObject(value);
    const { type } = value;
    if (type === 'file') return fault('names an object stored upstream, which is not supported', 'type');
    const check = typeof type === 'string' ? kinds[type] : undefined;
    return check ? check(value) : fault(`must be ${Object.keys(kinds).join(' or ')}`, 'type');
  };
}

/** A tool that is named; a definition, or a server's, may be one that costs by the call. */
const namedTool = objectOf({ type: oneOf('tool_reference'), name: optional(aText), tool_name: optional(aText) }, { closed: true });

const BLOCKS: Readonly<Record<string, Check>> = {
  text: objectOf({ text: aText }),
  image: objectOf({ source: source(IMAGE_TYPES) }),
  document: objectOf({
    source: source(new Set([PDF]), { text: objectOf({ data: aText }), content: objectOf({ content: content(IN_SOURCES) }) }),
    title: optional(aText),
    context: optional(aText),
  }),
  search_result: objectOf({ source: aText, title: aText, content: listOfAll(textBlock, MOST_BLOCKS) }),
  thinking: objectOf({ thinking: aText, signature: optional(aText) }),
  redacted_thinking: objectOf({ data: aText }),
  tool_use: objectOf({ id: anId, name: aText, input: anObject }),
  tool_result: objectOf({ tool_use_id: anId, content: optional(content(IN_RESULTS)), is_error: aFlag }),
  tool_reference: objectOf({ tool_name: aText }),
  tool_addition: objectOf({ tool: namedTool }),
  tool_removal: objectOf({ tool: namedTool }),
};

function checkBlock(block: unknown, types: readonly string[]): Fault | null {
  if (!isObject(block)) return anObject(block);
  const { type } = block;
  const check = typeof type === 'string' && types.includes(type) ? BLOCKS[type] : undefined;
  if (!check) return fault(type === undefined ? REQUIRED : `must be ${types.join(', ')}`, 'type');
  return check(block) ?? at('cache_control', cacheControl(block['cache_control']));
}

const effortOf = optional(objectOf({ effort: optional(aText) }, { closed: true }));
const TURN_MEMBERS = new Set(['role', 'content']);
const SYSTEM_MEMBERS = new Set(['output_config', 'clear_at']);

const message: Check = (value) => {
  if (!isObject(value)) return anObject(value);
  const { role } = value;
  const types = typeof role === 'string' ? IN_TURNS[role] : undefined;
  if (!types) return fault(role === undefined ? REQUIRED : 'must be user, assistant or system', 'role');
  const extra = Object.keys(value).find((name) => !TURN_MEMBERS.has(name) && !(role === 'system' && SYSTEM_MEMBERS.has(name)));
  if (extra !== undefined) return fault(EXTRA, extra);
  return at('content', content(types)(value['content'])) ?? at('output_config', effortOf(value['output_config']));
};

const messageList = listOfAll(message, MOST_MESSAGES);

/** The member `messages`. */
export const checkMessages: Check = (value) =>
  messageList(value) ?? (Array.isArray(value) && value.length === 0 ? fault('must hold at least one message') : null);

/** The member `system`. */
export const checkSystem: Check = content(['text']);
