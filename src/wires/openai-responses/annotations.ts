import { isObject, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';

/** What this wire calls the sources of a text; ids in them are the provider's. */
const OWN = new Set(['url_citation', 'file_citation', 'container_file_citation', 'file_path']);

/** A citation as an annotation of a text with so many characters; null where this wire has no word for it: it has one for web pages. */
export function annotationOf(citation: unknown, characters: number): JsonObject | null {
  if (!isObject(citation)) return null;
  if (OWN.has(textIn(citation['type']))) return citation;
  const url = textIn(citation['url']);
  if (url === '') return null;
  return { type: 'url_citation', url, title: textIn(citation['title']), start_index: 0, end_index: characters };
}
