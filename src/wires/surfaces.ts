import { openAiResponses } from './openai-responses/surface.ts';
import type { Surface, WireName } from './wire.ts';

/** Every wire that clients can speak. */
export const SURFACES: Readonly<Partial<Record<WireName, Surface>>> = {
  'openai-responses': openAiResponses,
};
