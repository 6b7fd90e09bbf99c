import type { AnswerContext } from '../../../src/wires/wire.ts';
import { openAiResponses } from '../../../src/wires/openai-responses/surface.ts';
import { parseJson } from '../../../src/wires/parse-json.ts';
import type { InferenceRequest } from '../../../src/wires/request.ts';

export const CONTEXT: AnswerContext = {
  requestId: '0198c0de-0000-7000-8000-000000000001',
  model: 'm',
  created: 1_700_000_000,
  promptTokens: 9,
};

/** A request as a client sends it. */
export function requestOf(body: Record<string, unknown>): InferenceRequest {
  const bytes = Buffer.from(JSON.stringify(body));
  const { value, verbatim } = parseJson(bytes);
  return openAiResponses.parse(
    { fields: value as Record<string, unknown>, verbatim: verbatim as Record<string, unknown>, bodyBytes: bytes.length },
    { streamDefault: false },
  );
}
