import type { Part, ToolCallPart } from '../generation.ts';
import { objectsIn, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { sealedFrom } from './sealed.ts';

/** Between two parts of a reasoning summary: each has a heading of its own. */
export const BETWEEN_SUMMARIES = '\n\n';

/** What one item of a response's output says. Nothing of an item that only hosted tools write. */
export function partsOfItem(item: JsonObject): Part[] {
  switch (item['type']) {
    case 'message':
      return objectsIn(item['content']).flatMap(partOfContent);
    case 'reasoning':
      return reasoningOf(item);
    case 'function_call':
    case 'custom_tool_call':
      return [callOf(item)];
    default:
      return [];
  }
}

function partOfContent(content: JsonObject): Part[] {
  const { type } = content;
  if (type === 'refusal') return content['refusal'] ? [{ type: 'refusal', text: textIn(content['refusal']) }] : [];
  const text = textIn(content['text']);
  if (type !== 'output_text' || text === '') return [];
  const citations = objectsIn(content['annotations']);
  return [{ type: 'text', text, ...(citations.length > 0 && { citations }) }];
}

/** A reasoning item without text and seal is a name for something stored, and worth nothing. */
function reasoningOf(item: JsonObject): Part[] {
  const text = reasoningTextOf(item);
  const sealed = textIn(item['encrypted_content']);
  if (text === '' && sealed === '') return [];
  const id = textIn(item['id']);
  return [{ type: 'reasoning', text, ...(sealed !== '' && { signature: sealedFrom(sealed).signature }), ...(id !== '' && { id }) }];
}

/** The summary where there is one, else the thoughts themselves, which some providers show. */
export function reasoningTextOf(item: JsonObject): string {
  const [summary = '', thoughts = ''] = [item['summary'], item['content']].map((texts) =>
    objectsIn(texts)
      .map(({ text }) => textIn(text))
      .join(BETWEEN_SUMMARIES),
  );
  return summary === '' ? thoughts : summary;
}

/** A call in the words of this wire. The name of a tool in a namespace keeps it in front. */
export function callOf(item: JsonObject): ToolCallPart {
  const kind = item['type'] === 'custom_tool_call' ? 'custom' : 'function';
  return {
    type: 'tool_call',
    kind,
    id: textIn(item['call_id']) || textIn(item['id']),
    name: textIn(item['name']),
    input: textIn(kind === 'custom' ? item['input'] : item['arguments']),
  };
}
