import { GatewayError } from '../errors.ts';
import type { DocumentPart, Generation, ImagePart, Part } from './generation.ts';
import type { InferenceRequest } from './request.ts';
import type { Target } from './target.ts';

/** The refusal of a field that a model cannot take. */
export function cannot(message: string, param: string): GatewayError {
  return new GatewayError('invalid_request', { message: `${param}: ${message}`, param });
}

/** Images, documents and URLs, where a model takes none. */
export function mediaObstacle({ media }: InferenceRequest, target: Target): GatewayError | null {
  const { firstImageParam, firstRemoteParam, firstDocumentParam } = media;
  if (firstImageParam !== null && !target.takesImages) return cannot('this model takes no images', firstImageParam);
  if (firstDocumentParam !== null && !target.takesDocuments) return cannot('this model takes no documents', firstDocumentParam);
  if (firstRemoteParam !== null && !target.takesRemoteMedia) return cannot('this model takes no URLs, only data', firstRemoteParam);
  return null;
}

/** The images and documents of a conversation, with those in the results of tools. */
export function* mediaIn({ messages }: Generation): Iterable<ImagePart | DocumentPart> {
  for (const { parts } of messages) {
    for (const part of parts) yield* part.type === 'tool_result' ? part.parts.filter(isMedia) : [part].filter(isMedia);
  }
}

function isMedia(part: Part): part is ImagePart | DocumentPart {
  return part.type === 'image' || part.type === 'document';
}
