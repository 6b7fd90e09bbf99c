import type { Answer } from '../answer.ts';
import type { InferenceRequest } from '../request.ts';
import { promptTokensOf, wireCount } from '../usage.ts';
import { isObject } from '../json-object.ts';
import type { AnswerContext, JsonObject, SettledFigures, Surface } from '../wire.ts';
import { parseEmbeddingsRequest } from './request.ts';
import { base64Of, floatsOf } from './vector.ts';

/** The OpenAI embeddings API as clients speak it: https://platform.openai.com/docs/api-reference/embeddings */
export const openAiEmbeddings: Surface = {
  wire: 'openai-embeddings',
  operation: 'embed',
  parse: parseEmbeddingsRequest,
  body: embeddingsBody,
  withFigures,
  writer() {
    throw new Error('embeddings are never streamed');
  },
  events: { isDelivery: () => false, read: () => undefined },
  errorBody: (error) => ({ ...error }),
  errorEvents: (error) => `data: ${JSON.stringify(error)}\n\n`,
};

function embeddingsBody({ embeddings = [], usage }: Answer, request: InferenceRequest, { model }: AnswerContext): JsonObject {
  const written = request.embedding().encoding === 'base64' ? base64Of : floatsOf;
  const prompt = usage && promptTokensOf({ ...usage, input: usage.input ?? 0 });
  return {
    object: 'list',
    data: embeddings.map((vector, index) => ({ object: 'embedding', index, embedding: written(vector) })),
    model,
    ...(prompt !== null && { usage: { prompt_tokens: prompt, total_tokens: prompt } }),
  };
}

function withFigures(body: JsonObject, { billed, costs }: SettledFigures, { model }: AnswerContext): JsonObject {
  const given = isObject(body['usage']) ? body['usage'] : {};
  const prompt = promptTokensOf(billed);
  const said = body['model'];
  return {
    ...body,
    model: typeof said === 'string' && said !== '' ? said : model,
    usage: { ...given, prompt_tokens: prompt, total_tokens: Math.max(prompt, wireCount(given['total_tokens']) ?? 0), ...costs },
  };
}
