import { GatewayError } from '../../errors.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import type { ReportedUsage } from '../usage.ts';
import { isObject, objectsIn } from '../json-object.ts';
import { reportedUsageOf } from '../openai-chat/usage.ts';
import { failureOf } from '../openai-chat/wire-chunk.ts';
import type { AnswerRead, JsonObject, Rendering, Upstream } from '../wire.ts';

/** A provider that embeds by the OpenAI API, or nearly: https://platform.openai.com/docs/api-reference/embeddings */
export const openAiEmbeddingsUpstream: Upstream = {
  wire: 'openai-embeddings',
  operation: 'embed',
  obstacle: obstacleTo,
  render,
  read: readEmbeddings,
  reader() {
    throw new Error('embeddings are never streamed');
  },
  parts() {
    throw new Error('embeddings are never streamed');
  },
};

function obstacleTo({ fields }: InferenceRequest, { model, dialect }: Target): GatewayError | null {
  const refused = dialect.refuses.find((name) => fields[name] !== undefined);
  return refused === undefined
    ? null
    : new GatewayError('invalid_request', { message: `${refused}: ${model} does not take it`, param: refused });
}

function render(request: InferenceRequest, { model, dialect, allowParameters }: Target): Rendering {
  const { extras, own } = request;
  const taken = Object.keys(extras).filter((name) => dialect.takes.includes(name) || allowParameters.includes(name));
  const dropped = dialect.drops.filter((name) => request.fields[name] !== undefined);
  const fields: JsonObject = { ...request.fields, ...Object.fromEntries(taken.map((name) => [name, extras[name]])) };
  for (const name of dropped) delete fields[name];
  const namesUser = own['user'] !== undefined && !dialect.drops.includes('user');
  return {
    path: '/embeddings',
    headers: [],
    ignored: [
      ...dropped,
      ...Object.keys(extras).filter((name) => !taken.includes(name)),
      ...(own['user'] !== undefined && !namesUser ? ['user'] : []),
    ],
    promptText: () => JSON.stringify(fields['input']),
    body: (_outputTokens, accountHash) => Buffer.from(JSON.stringify({ model, ...(namesUser && { user: accountHash }), ...fields })),
  };
}

function readEmbeddings(body: unknown): AnswerRead {
  const value = isObject(body) ? body : {};
  const usage = usageOf(value['usage']);
  const data = objectsIn(value['data']);
  return {
    failure: failureOf(body),
    isAnswer: data.some(({ embedding }) => Array.isArray(embedding) || typeof embedding === 'string'),
    usage,
    written: () => ({ texts: [], binaryCharacters: 0 }),
    answer: () => ({ completions: [], usage, embeddings: vectorsOf(data) }),
  };
}

/** Some servers give the vectors in another order than the inputs', and the index with each. */
function vectorsOf(data: readonly JsonObject[]): (readonly number[] | string)[] {
  const indexed = data.map(({ index, embedding }, position) => ({ at: typeof index === 'number' ? index : position, embedding }));
  return indexed
    .toSorted((one, other) => one.at - other.at)
    .map(({ embedding }) => (typeof embedding === 'string' ? embedding : Array.isArray(embedding) ? (embedding as number[]) : []));
}

/** A prompt's tokens and nothing else; where only a total is told, that is the prompt. */
function usageOf(usage: unknown): ReportedUsage | null {
  if (!isObject(usage)) return null;
  const reported = reportedUsageOf({ ...usage, prompt_tokens: usage['prompt_tokens'] ?? usage['total_tokens'], completion_tokens: 0 });
  // Nothing is generated, whatever a total may suggest.
  return !reported || reported.input === null ? null : { ...reported, output: 0, reasoning: 0 };
}
