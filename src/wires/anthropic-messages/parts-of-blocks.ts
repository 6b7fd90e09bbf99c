import type { CacheMark, DocumentPart, ImagePart, Part, TextPart, ToolCallPart } from '../generation.ts';
import { isObject, listIn, textIn } from '../json-object.ts';
import { signatureFrom } from '../signature.ts';
import { unpackToolId } from '../tool-id.ts';
import type { JsonObject } from '../wire.ts';
import { inputText } from './answer.ts';
import { previousSignature } from './marks.ts';
import { blocksIn } from './parameters.ts';

const WIRE = 'anthropic-messages';

type Simple = TextPart | ImagePart | DocumentPart;

/** Reads the blocks of a checked conversation, in order: results learn the names of their tools from the calls before them. */
export class PartsOfBlocks {
  readonly #names = new Map<string, string>();

  read(content: unknown, param: string): Part[] {
    const parts: Part[] = [];
    for (const [index, block] of blocksIn(content).entries()) this.#add(block, `${param}.${index}`, parts);
    return parts;
  }

  #add(block: JsonObject, param: string, parts: Part[]): void {
    const cache = cacheMark(block['cache_control']);
    const marked = cache && { cache };
    switch (block['type']) {
      case 'thinking': {
        const signature = textIn(block['signature']);
        const text = textIn(block['thinking']);
        parts.push({ type: 'reasoning', text, ...(signature !== '' && { signature: signatureFrom(signature, WIRE) }) });
        break;
      }
      case 'redacted_thinking':
        addSealed(textIn(block['data']), parts);
        break;
      case 'tool_use': {
        const call: ToolCallPart = {
          type: 'tool_call',
          id: unpackToolId(textIn(block['id'])),
          name: textIn(block['name']),
          input: inputText(block['input']),
          kind: 'function',
          ...marked,
        };
        this.#names.set(call.id, call.name);
        parts.push(call);
        break;
      }
      case 'tool_result': {
        const callId = unpackToolId(textIn(block['tool_use_id']));
        const name = this.#names.get(callId);
        const inner = blocksIn(block['content']).flatMap((one, index) => simpleParts(one, `${param}.content.${index}`));
        parts.push({
          type: 'tool_result',
          callId,
          ...(name !== undefined && { name }),
          parts: inner,
          isError: block['is_error'] === true,
          ...marked,
        });
        break;
      }
      default:
        parts.push(...simpleParts(block, param));
    }
  }
}

/** @param value a member `cache_control`. */
export function cacheMark(value: unknown): CacheMark | undefined {
  if (!isObject(value)) return undefined;
  return value['ttl'] === '1h' ? '1h' : '5m';
}

/** A sealed thought, or the signature of the part before it. */
function addSealed(data: string, parts: Part[]): void {
  const signature = previousSignature(data);
  const last = parts.at(-1);
  if (!signature) parts.push({ type: 'reasoning', text: '', redacted: signatureFrom(data, WIRE) });
  else if (last?.type === 'text' || last?.type === 'tool_call') parts[parts.length - 1] = { ...last, signature };
}

export function textOf(block: JsonObject): TextPart {
  const cache = cacheMark(block['cache_control']);
  const citations = listIn(block['citations']);
  return { type: 'text', text: textIn(block['text']), ...(cache && { cache }), ...(citations.length > 0 && { citations }) };
}

function simpleParts(block: JsonObject, param: string): Simple[] {
  switch (block['type']) {
    case 'text':
      return [textOf(block)];
    case 'image':
      return [imageOf(block, `${param}.source`)];
    case 'document':
      return documentOf(block, `${param}.source`);
    case 'search_result': {
      const text = listIn(block['content'])
        .map((one) => (isObject(one) ? textIn(one['text']) : ''))
        .join('\n');
      const title = `${textIn(block['title'])} (${textIn(block['source'])})`;
      return [{ type: 'document', source: { kind: 'text', text }, title, ...marks(block), param }];
    }
    case 'tool_reference':
      return [{ type: 'text', text: `The tool ${textIn(block['tool_name'])} can be called now.`, ...marks(block) }];
    case 'tool_addition':
      return [{ type: 'text', text: `The tool ${toolNamed(block)} can be called now.`, ...marks(block) }];
    case 'tool_removal':
      return [{ type: 'text', text: `The tool ${toolNamed(block)} can no longer be called.`, ...marks(block) }];
    default:
      return [];
  }
}

function marks(block: JsonObject): { cache?: CacheMark } {
  const cache = cacheMark(block['cache_control']);
  return cache ? { cache } : {};
}

function toolNamed({ tool }: JsonObject): string {
  return isObject(tool) ? textIn(tool['name'] ?? tool['tool_name']) : '';
}

function mediaSource(source: JsonObject): ImagePart['source'] {
  if (source['type'] === 'url') return { kind: 'url', url: textIn(source['url']) };
  return { kind: 'data', mediaType: textIn(source['media_type']), base64: textIn(source['data']) };
}

function imageOf(block: JsonObject, param: string): ImagePart {
  return { type: 'image', source: mediaSource(block['source'] as JsonObject), ...marks(block), param };
}

/** What a document says of itself beside its title stands before it. */
function documentOf(block: JsonObject, param: string): Simple[] {
  const source = block['source'] as JsonObject;
  const { title, context } = block;
  const before: Simple[] = typeof context === 'string' && context !== '' ? [{ type: 'text', text: context }] : [];
  if (source['type'] === 'content') {
    const inner = blocksIn(source['content']).flatMap((one, index) => simpleParts(one, `${param}.content.${index}`));
    return [...before, ...inner];
  }
  const read = source['type'] === 'text' ? { kind: 'text' as const, text: textIn(source['data']) } : mediaSource(source);
  return [...before, { type: 'document', source: read, ...(typeof title === 'string' && { title }), ...marks(block), param }];
}
