import type { Upstream } from '../wire.ts';
import { readAnswer } from './answer.ts';
import { obstacleTo } from './obstacle.ts';
import { GeminiParts } from './parts.ts';
import { renderGeneration } from './render.ts';

/** A provider that speaks the Gemini API: https://ai.google.dev/api/generate-content. */
export const geminiGenerateUpstream: Upstream = {
  wire: 'gemini-generate',
  operation: 'generate',
  obstacle: obstacleTo,
  render: renderGeneration,
  read: readAnswer,
  reader() {
    throw new Error('no client speaks the Gemini API: its streams are always translated');
  },
  parts: () => new GeminiParts(),
};
