import type { DocumentPart, ImagePart, MediaSource } from '../generation.ts';
import type { JsonObject } from '../wire.ts';

/** What the models see: https://ai.google.dev/gemini-api/docs/image-understanding. */
const IMAGE_TYPES = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/heic', 'image/heif']);
const PDF = 'application/pdf';

/** The types of files behind a URL, which say nothing of it themselves. */
const TYPES_BY_ENDING: Readonly<Record<string, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
  heic: 'image/heic',
  heif: 'image/heif',
  gif: 'image/gif',
  txt: 'text/plain',
  pdf: PDF,
};

/** The type of an image or document: as it was said, or as the ending of its URL tells, else the usual one. */
export function mediaTypeOf({ type, source }: ImagePart | DocumentPart): string {
  if (source.kind === 'data') return source.mediaType.toLowerCase();
  if (source.kind === 'text') return 'text/plain';
  const ending = /\.([a-z]{3,4})(?:[?#]|$)/i.exec(source.url)?.[1]?.toLowerCase() ?? '';
  return TYPES_BY_ENDING[ending] ?? (type === 'image' ? 'image/jpeg' : PDF);
}

/** Whether the models read it. GIFs they do not. */
export function isReadable(part: ImagePart | DocumentPart): boolean {
  const mediaType = mediaTypeOf(part);
  return part.type === 'image' ? IMAGE_TYPES.has(mediaType) : mediaType === PDF || mediaType.startsWith('text/');
}

/** An image or document as parts of a turn, a document with its title before it. */
export function mediaParts(part: ImagePart | DocumentPart): JsonObject[] {
  const { source } = part;
  const title = part.type === 'document' && part.title ? [{ text: part.title }] : [];
  if (source.kind === 'text') return [...title, ...(source.text === '' ? [] : [{ text: source.text }])];
  return [...title, mediaPart(source, mediaTypeOf(part))];
}

function mediaPart(source: MediaSource, mimeType: string): JsonObject {
  if (source.kind === 'url') return { fileData: { mimeType, fileUri: source.url } };
  return { inlineData: { mimeType, data: source.base64 } };
}

/** The same contents with the data of their images and documents emptied. */
export function withoutMedia(contents: readonly Content[]): Content[] {
  return contents.map(({ role, parts }) => ({
    role,
    parts: parts.map((part) => (part['inlineData'] === undefined ? part : { inlineData: { ...(part['inlineData'] as object), data: '' } })),
  }));
}

/** A turn on the wire. */
export interface Content {
  readonly role: 'user' | 'model';
  readonly parts: readonly JsonObject[];
}
