import { isObject, objectsIn } from '../json-object.ts';
import type { Media } from '../request.ts';
import { NO_MEDIA } from '../request.ts';
import type { JsonObject } from '../wire.ts';
import { HOLDERS, IMAGE_DATA } from './input-items.ts';

interface Found {
  readonly part: JsonObject;
  readonly param: string;
}

/** The images and documents of a checked input. */
export function mediaOf(input: unknown): Media {
  if (!Array.isArray(input)) return NO_MEDIA;
  const media = { ...NO_MEDIA };
  for (const { part, param } of mediaParts(input)) {
    if (part['type'] === 'input_image') {
      media.images += 1;
      media.firstImageParam ??= param;
      if (!IMAGE_DATA.test(part['image_url'] as string)) media.firstRemoteParam ??= param;
    } else {
      media.documents += 1;
      media.firstDocumentParam ??= param;
      media.documentBytes += (part['file_data'] as string).length;
    }
  }
  return media;
}

function* mediaParts(input: readonly unknown[]): Generator<Found> {
  for (const [index, item] of input.entries()) {
    for (const holder of HOLDERS) {
      const parts = isObject(item) && Array.isArray(item[holder]) ? (item[holder] as unknown[]) : [];
      for (const [at, part] of parts.entries()) {
        const member = isObject(part) ? dataMember(part) : null;
        if (member !== null) yield { part: part as JsonObject, param: `input.${index}.${holder}.${at}.${member}` };
      }
    }
  }
}

function dataMember(part: JsonObject): 'image_url' | 'file_data' | null {
  if (part['type'] === 'input_image') return 'image_url';
  return part['type'] === 'input_file' ? 'file_data' : null;
}

/** Items with the data of their images and documents emptied: what is left is read as text. */
export function withoutMediaData(input: readonly unknown[]): unknown[] {
  return input.map((item) => {
    if (!isObject(item)) return item;
    const emptied: JsonObject = { ...item };
    for (const holder of HOLDERS) {
      if (Array.isArray(item[holder])) emptied[holder] = (item[holder] as unknown[]).map(withoutData);
    }
    return emptied;
  });
}

function withoutData(part: unknown): unknown {
  const member = isObject(part) ? dataMember(part) : null;
  return member === null ? part : { ...(part as JsonObject), [member]: '' };
}

/** The texts of a message's content, joined. */
export function textOfContent(content: unknown): string {
  if (typeof content === 'string') return content;
  return objectsIn(content)
    .map(({ text }) => (typeof text === 'string' ? text : ''))
    .join('\n');
}
