import type { JsonObject } from '../wire.ts';
import { member } from '../json-object.ts';

/** Citations of any provider as this wire's `annotations`. It knows those of pages alone: what names no address has no place here. */
export function annotationsOf(citations: readonly unknown[]): JsonObject[] {
  return citations.map(annotationOf).filter((annotation) => annotation !== null);
}

function annotationOf(citation: unknown): JsonObject | null {
  const inside = [member(citation, 'url_citation'), member(citation, 'web'), citation].find((value) => urlOf(value) !== null);
  const url = urlOf(inside);
  if (url === null) return null;
  const title = member(inside, 'title');
  const start = member(inside, 'start_index') ?? member(citation, 'startIndex');
  const end = member(inside, 'end_index') ?? member(citation, 'endIndex');
  return {
    type: 'url_citation',
    url_citation: {
      url,
      title: typeof title === 'string' ? title : '',
      ...(typeof start === 'number' && { start_index: start }),
      ...(typeof end === 'number' && { end_index: end }),
    },
  };
}

function urlOf(value: unknown): string | null {
  const url = member(value, 'url') ?? member(value, 'uri');
  return typeof url === 'string' && /^https?:\/\//i.test(url) ? url : null;
}
