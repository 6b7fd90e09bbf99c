import { GatewayError } from '../../errors.ts';
import type { EmbeddingInput } from '../generation.ts';
import { readFields } from '../parameter.ts';
import { NO_FACTS, NO_MEDIA, type InferenceRequest, type ParseOptions, type ReadBody } from '../request.ts';
import { readRouting } from '../routing-options.ts';
import { PARAMETERS } from './parameters.ts';

type Inputs = string | readonly string[] | readonly number[] | readonly (readonly number[])[];

/** Reads an embeddings request: https://platform.openai.com/docs/api-reference/embeddings/create */
export function parseEmbeddingsRequest(body: ReadBody, { allowParameters }: ParseOptions): InferenceRequest {
  const { fields: sent } = body;
  if ((sent['input'] ?? null) === null) throw new GatewayError('invalid_request', { message: 'input: is required', param: 'input' });
  const { fields, own, extras, unruled } = readFields(body, PARAMETERS, { allowParameters });
  const inputs = listOfInputs(sent['input'] as Inputs);
  const input: EmbeddingInput = {
    inputs,
    dimensions: (sent['dimensions'] as number | null | undefined) ?? null,
    encoding: sent['encoding_format'] === 'base64' ? 'base64' : 'float',
    namesUser: typeof own['user'] === 'string',
  };
  return {
    wire: 'openai-embeddings',
    operation: 'embed',
    model: (own['model'] as string | undefined) ?? 'auto',
    stream: false,
    includeUsage: false,
    completions: 1,
    outputCap: null,
    routing: readRouting(own['routing']),
    unruled,
    fields,
    extras,
    own,
    media: NO_MEDIA,
    bodyBytes: body.bodyBytes,
    facts: () => ({ ...NO_FACTS, asked: typeof inputs[0] === 'string' ? inputs[0] : '' }),
    generation: () => {
      throw new Error('an embeddings request generates nothing');
    },
    embedding: () => input,
  };
}

/** One text, or one list of tokens, is one input. */
function listOfInputs(input: Inputs): EmbeddingInput['inputs'] {
  if (typeof input === 'string') return [input];
  if (typeof input[0] === 'number') return [input as readonly number[]];
  return input as readonly (string | readonly number[])[];
}
