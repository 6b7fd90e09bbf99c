import type { GatewayError } from '../../errors.ts';
import { geminiModelName, geminiPath } from '../gemini-model.ts';
import { cannot } from '../obstacle.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import type { Rendering, Upstream } from '../wire.ts';
import { readVectors } from './vectors.ts';

/** A provider that embeds by the Gemini API: https://ai.google.dev/api/embeddings. */
export const geminiEmbedUpstream: Upstream = {
  wire: 'gemini-embed',
  operation: 'embed',
  obstacle: obstacleTo,
  render: renderEmbedding,
  read: readVectors,
  reader() {
    throw new Error('no client speaks the Gemini API, and embeddings are never streamed');
  },
  parts() {
    throw new Error('embeddings are never streamed');
  },
};

/** What one call takes. */
const MOST_INPUTS = 100;

function obstacleTo(request: InferenceRequest, { dialect }: Target): GatewayError | null {
  const { inputs, dimensions } = request.embedding();
  const unruled = request.unruled[0];
  if (unruled !== undefined) return cannot('this model cannot take it', unruled);
  if (dimensions !== null && dialect.refuses.includes('dimensions')) return cannot('this model has one length of vectors', 'dimensions');
  if (inputs.length > MOST_INPUTS) return cannot(`this model takes at most ${MOST_INPUTS} texts at a time`, 'input');
  // Token numbers are OpenAI's: nobody else's tokenizer gives them a meaning.
  const tokens = inputs.findIndex((input) => typeof input !== 'string');
  if (tokens >= 0) return cannot('this model takes texts, not tokens', inputs.length > 1 ? `input.${tokens}` : 'input');
  const empty = inputs.indexOf('');
  return empty >= 0 ? cannot('this model embeds no empty text', inputs.length > 1 ? `input.${empty}` : 'input') : null;
}

function renderEmbedding(request: InferenceRequest, target: Target): Rendering {
  const { inputs, dimensions } = request.embedding();
  const texts = inputs.filter((input): input is string => typeof input === 'string');
  const model = geminiModelName(target.model);
  const settings = dimensions === null ? {} : { outputDimensionality: dimensions };
  return {
    path: geminiPath(target.model, 'batchEmbedContents'),
    headers: [],
    ignored: [...Object.keys(request.extras), ...(request.own['user'] === undefined ? [] : ['user'])],
    promptText: () => texts.join('\n'),
    body: () => Buffer.from(JSON.stringify({ requests: texts.map((text) => ({ model, content: { parts: [{ text }] }, ...settings })) })),
  };
}
