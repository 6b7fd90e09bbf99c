import type { Upstream } from '../wire.ts';
import { readAnswer } from './answer.ts';
import { obstacleTo } from './obstacle.ts';
import { ResponsesPartReader } from './parts.ts';
import { ResponsesReader } from './reader.ts';
import { renderResponse } from './render.ts';
import { renderVerbatim } from './verbatim.ts';

/** A provider that speaks the Responses API (https://platform.openai.com/docs/api-reference/responses). It is never asked to store anything. */
export const openAiResponsesUpstream: Upstream = {
  wire: 'openai-responses',
  operation: 'generate',
  obstacle: obstacleTo,
  render: (request, target) => (request.wire === 'openai-responses' ? renderVerbatim(request, target) : renderResponse(request, target)),
  read: readAnswer,
  reader: () => new ResponsesReader(),
  parts: () => new ResponsesPartReader(),
};
