import { isObject, listIn, textIn } from '../json-object.ts';
import { NO_MEDIA, type Facts, type Media } from '../request.ts';
import type { JsonObject } from '../wire.ts';
import { blocksIn } from './parameters.ts';

/** The images and documents of checked messages, those in the results of tools too. */
export function mediaOf(messages: unknown): Media {
  const media: { -readonly [Name in keyof Media]: Media[Name] } = { ...NO_MEDIA };
  const visit = (content: unknown, path: string): void => {
    for (const [index, block] of listIn(content).entries()) {
      if (!isObject(block)) continue;
      const param = `${path}.${index}`;
      if (block['type'] === 'image' || block['type'] === 'document') note(block, `${param}.source`);
      if (block['type'] === 'tool_result') visit(block['content'], `${param}.content`);
    }
  };
  const note = ({ type, source }: JsonObject, param: string): void => {
    if (!isObject(source)) return;
    const kind = source['type'];
    if (kind === 'content') visit(source['content'], `${param}.content`);
    if (kind !== 'base64' && kind !== 'url') return;
    if (kind === 'url') media.firstRemoteParam ??= param;
    if (type === 'image') {
      media.images += 1;
      media.firstImageParam ??= param;
    } else {
      media.documents += 1;
      media.firstDocumentParam ??= param;
      media.documentBytes += textIn(source['data']).length;
    }
  };
  for (const [index, message] of listIn(messages).entries())
    visit(isObject(message) ? message['content'] : [], `messages.${index}.content`);
  return media;
}

/** What the complexity of checked fields is judged by. A turn that only brings the results of tools is none of the user's. */
export function factsOf({ messages, tools, system, output_config: output, output_format: format }: JsonObject): Facts {
  let turns = 0;
  let asked = '';
  let opening = '';
  for (const message of listIn(messages)) {
    if (!isObject(message) || message['role'] !== 'user') continue;
    const blocks = blocksIn(message['content']);
    if (blocks.length > 0 && blocks.every(({ type }) => type === 'tool_result')) continue;
    turns += 1;
    asked = textOfBlocks(blocks);
    if (turns === 1) opening = asked;
  }
  return {
    asked,
    turns,
    hasTools: listIn(tools).length > 0,
    system: textOfBlocks(blocksIn(system)),
    opening,
    cacheKey: null,
    wantsJson: isObject(format ?? (isObject(output) ? output['format'] : undefined)),
  };
}

function textOfBlocks(blocks: readonly JsonObject[]): string {
  return blocks.flatMap(({ type, text }) => (type === 'text' ? [textIn(text)] : [])).join('\n');
}
