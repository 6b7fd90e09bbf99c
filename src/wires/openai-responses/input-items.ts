import { isObject, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { at, fault, type Fault } from '../fault.ts';
import { faultInList, faultInTexts } from './checks.ts';
import { faultInItemTools } from './tools.ts';

/** Each call of a tool and its result is an item: more than any conversation has; bounds the work. */
const MOST_ITEMS = 16_384;
const MOST_PARTS = 4_096;
/** The members of an item that hold content parts. */
export const HOLDERS = ['content', 'output'] as const;
const ROLES: readonly unknown[] = ['user', 'assistant', 'system', 'developer'];
/** Longer lifetimes of a cache entry are billed at rates that no price list here knows. */
const PRICED_CACHE_LIFETIME = '30m';
export const IMAGE_DATA = /^data:image\/[a-z0-9.+-]+;base64,/i;
const PDF_DATA = /^data:application\/pdf;base64,/i;
const HTTPS = /^https:\/\/[^\s]+$/i;

/** Calls of tools that the client runs itself and whose results come as text: their own members are the client's. */
const LOCAL_ITEMS: ReadonlySet<unknown> = new Set([
  ...['local_shell_call', 'local_shell_call_output', 'shell_call', 'shell_call_output', 'apply_patch_call', 'apply_patch_call_output'],
  ...['tool_search_call', 'web_search_call'],
]);

/** The `input` of a request: text, or the items of a conversation. What is accepted goes to a provider of the same wire whole. */
export function faultInInput(value: unknown): Fault | null {
  return typeof value === 'string' ? null : faultInList(value, faultInItem, { min: 1, max: MOST_ITEMS, of: 'items' });
}

function faultInItem(item: unknown): Fault | null {
  return isObject(item) ? (faultInKind(item) ?? faultInMedia(item)) : fault('must be an object');
}

function faultInKind(item: JsonObject): Fault | null {
  const type = item['type'] ?? 'message';
  switch (type) {
    case 'message':
      return ROLES.includes(item['role'])
        ? at('content', faultInContent(item['content']))
        : fault('must be user, assistant, system or developer', 'role');
    case 'function_call':
      return faultInTexts(item, 'call_id', 'name', 'arguments');
    case 'custom_tool_call':
      return faultInTexts(item, 'call_id', 'name', 'input');
    case 'function_call_output':
    case 'custom_tool_call_output':
      return faultInTexts(item, 'call_id') ?? at('output', faultInContent(item['output']));
    case 'reasoning':
      return faultInReasoning(item);
    case 'tool_search_output':
    case 'additional_tools':
      return at('tools', faultInItemTools(item['tools']));
    case 'item_reference':
      return fault('item_reference names a stored item, and nothing is stored', 'type');
    default:
      return LOCAL_ITEMS.has(type)
        ? faultInEnvironment(item['environment'])
        : fault(`${textIn(type).slice(0, 64) || 'this type of item'} is not supported`, 'type');
  }
}

/** Where a command ran. Any other place than the client's own is a container in the provider's account, which all tenants share. */
function faultInEnvironment(environment: unknown): Fault | null {
  if (environment === undefined || environment === null) return null;
  return isObject(environment) && environment['type'] === 'local' ? null : fault('must be local', 'environment', 'type');
}

/** Images and documents in any item: they are counted wherever they stand, so they are checked there too. */
function faultInMedia(item: JsonObject): Fault | null {
  for (const holder of HOLDERS) {
    const parts = Array.isArray(item[holder]) ? (item[holder] as unknown[]) : [];
    for (const [index, part] of parts.entries()) {
      const found = isObject(part) && isMedia(part) ? faultInPart(part) : null;
      if (found) return at(holder, at(index, found));
    }
  }
  return null;
}

function isMedia({ type }: JsonObject): boolean {
  return type === 'input_image' || type === 'input_file';
}

function faultInReasoning(item: JsonObject): Fault | null {
  const sealed = item['encrypted_content'] ?? null;
  if (sealed !== null && typeof sealed !== 'string') return fault('must be a string', 'encrypted_content');
  for (const name of ['summary', 'content']) {
    const texts = item[name] ?? [];
    const found = faultInList(texts, (text) => (isObject(text) ? faultInTexts(text, 'text') : fault('must be an object')), {
      max: MOST_PARTS,
      of: 'texts',
    });
    if (found) return at(name, found);
  }
  return null;
}

function faultInContent(value: unknown): Fault | null {
  if (typeof value === 'string') return null;
  if (value === undefined || value === null) return fault('is required');
  if (!Array.isArray(value)) return fault('must be a string or a list of content parts');
  return faultInList(value, faultInPart, { max: MOST_PARTS, of: 'parts' });
}

function faultInPart(part: unknown): Fault | null {
  if (!isObject(part)) return fault('must be an object');
  const lifetime = isObject(part['prompt_cache_breakpoint']) ? (part['prompt_cache_breakpoint']['ttl'] ?? null) : null;
  if (lifetime !== null && lifetime !== PRICED_CACHE_LIFETIME) {
    return fault(`only ${PRICED_CACHE_LIFETIME} has a known price`, 'prompt_cache_breakpoint', 'ttl');
  }
  switch (part['type']) {
    case 'input_text':
    case 'output_text':
    case 'text':
      return faultInTexts(part, 'text');
    case 'refusal':
      return faultInTexts(part, 'refusal');
    case 'input_image':
      return faultInImage(part);
    case 'input_file':
      return faultInFile(part);
    default:
      return fault('must be input_text, output_text, refusal, input_image or input_file', 'type');
  }
}

function faultInImage(part: JsonObject): Fault | null {
  if ((part['file_id'] ?? null) !== null) return fault('names a stored object, which is not supported', 'file_id');
  const url = part['image_url'];
  if (typeof url === 'string' && (IMAGE_DATA.test(url) || HTTPS.test(url))) return null;
  return fault('must be a data: URL of an image in base64 or an https: URL', 'image_url');
}

/** Only data: what a document costs must be known beforehand. */
function faultInFile(part: JsonObject): Fault | null {
  for (const name of ['file_id', 'file_url']) {
    if ((part[name] ?? null) !== null) return fault('is not supported: send the document as file_data', name);
  }
  const data = part['file_data'];
  return typeof data === 'string' && PDF_DATA.test(data) ? null : fault('must be a data: URL of a PDF in base64', 'file_data');
}
