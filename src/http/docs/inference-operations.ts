import { z } from 'zod';
import type { ErrorCode } from '../../errors.ts';
import type { InferenceRoute } from '../payment/incoming.ts';
import { events as anyEvents, json, jsonBody, type BodyDescription, type Operation } from '../server/operation.ts';
import { count } from '../server/described-values.ts';
import { PARAMETERS as MESSAGES } from '../../wires/anthropic-messages/parameters.ts';
import { PARAMETERS as CHAT } from '../../wires/openai-chat/parameters.ts';
import { PARAMETERS as COMPLETIONS } from '../../wires/openai-completions/parameters.ts';
import { PARAMETERS as EMBEDDINGS } from '../../wires/openai-embeddings/parameters.ts';
import { PARAMETERS as RESPONSES } from '../../wires/openai-responses/parameters.ts';
import type { Parameters } from '../../wires/parameter.ts';
import { ROUTER_PARAMETERS } from '../../wires/pura-router/request.ts';
import { SURFACES } from '../../wires/surfaces.ts';
import type { Surface } from '../../wires/wire.ts';
import * as answers from './inference-answers.ts';
import { INFERENCE_HEADERS, INFERENCE_REQUEST_HEADERS } from './inference-headers.ts';
import { fieldsOf } from './inference-fields.ts';

type SurfaceName = keyof typeof SURFACES;

/** What is to be told of a surface, whichever path it is served at. */
interface SurfaceDescription {
  readonly id: string;
  /** The name of its body's schema. */
  readonly bodyId: string;
  readonly summary: string;
  readonly parameters: Parameters;
  /** Fields that must be there. */
  readonly required: readonly string[];
  readonly example: Readonly<Record<string, unknown>>;
  readonly answer: z.ZodType;
  /** What a stream looks like; absent where there is none. */
  readonly events?: string;
}

const MESSAGES_EXAMPLE = [{ role: 'user', content: 'Say hello in five words.' }];

const DESCRIPTIONS: Readonly<Record<SurfaceName, SurfaceDescription>> = {
  'openai-chat': {
    id: 'createChatCompletion',
    bodyId: 'ChatRequest',
    summary: "A chat completion, in OpenAI's wire",
    parameters: CHAT,
    required: ['messages'],
    example: { model: 'auto', messages: MESSAGES_EXAMPLE, max_tokens: 64 },
    answer: answers.chatCompletion,
    events: answers.CHAT_EVENTS,
  },
  'openai-completions': {
    id: 'createCompletion',
    bodyId: 'CompletionRequest',
    summary: "A legacy text completion, in OpenAI's wire",
    parameters: COMPLETIONS,
    required: ['prompt'],
    example: { model: 'auto', prompt: 'Once upon a time', max_tokens: 64 },
    answer: answers.completion,
    events: answers.COMPLETION_EVENTS,
  },
  'openai-responses': {
    id: 'createResponse',
    bodyId: 'ResponseRequest',
    summary: "A response, in OpenAI's Responses wire",
    parameters: RESPONSES,
    required: ['input'],
    example: { model: 'auto', input: 'Say hello in five words.', max_output_tokens: 64 },
    answer: answers.response,
    events: answers.RESPONSE_EVENTS,
  },
  'openai-embeddings': {
    id: 'createEmbedding',
    bodyId: 'EmbeddingsRequest',
    summary: "Embeddings, in OpenAI's wire",
    parameters: EMBEDDINGS,
    required: ['input'],
    example: { model: 'auto', input: ['a cat', 'a dog'] },
    answer: answers.embeddings,
  },
  'anthropic-messages': {
    id: 'createMessage',
    bodyId: 'MessageRequest',
    summary: "A message, in Anthropic's wire",
    parameters: MESSAGES,
    required: ['messages', 'max_tokens'],
    example: { model: 'auto', max_tokens: 64, messages: MESSAGES_EXAMPLE },
    answer: answers.message,
    events: answers.MESSAGE_EVENTS,
  },
  'pura-router': {
    id: 'route',
    bodyId: 'RouterRequest',
    summary: 'Let the router choose a model, and have it answer unless `execute` is false',
    parameters: ROUTER_PARAMETERS,
    required: ['messages'],
    example: { messages: MESSAGES_EXAMPLE, execute: false },
    answer: z.union([answers.routedCompletion, answers.decision]),
    events: answers.CHAT_EVENTS,
  },
};

const bodies = new Map<SurfaceName, z.ZodType>();

/** The body of a surface, which several paths take. */
function bodyOf(name: SurfaceName): z.ZodType {
  const { parameters, required, bodyId } = DESCRIPTIONS[name];
  const body = bodies.get(name) ?? fieldsOf(parameters, required).meta({ id: bodyId });
  bodies.set(name, body);
  return body;
}

/** Of the paths that pay by a key which a session may use. */
const OF_SESSION = z.object({
  key: z.string().optional().meta({ description: "The id of the account's key that is to pay; without one the session's usual key." }),
});

/** All that an inference request may be refused or fail with, in the order of the checks. */
const ERRORS_OF_INFERENCE: readonly ErrorCode[] = [
  ...(['unknown_parameter', 'model_not_found', 'model_not_allowed', 'not_permitted', 'rate_limit_exceeded'] as const),
  ...(['max_cost_exceeded', 'budget_exhausted', 'free_tier_exceeded', 'insufficient_balance', 'last_owner_key'] as const),
  ...(['idempotency_conflict', 'idempotency_in_progress', 'idempotency_interrupted'] as const),
  ...(['exchange_rate_unavailable', 'lightning_unavailable', 'too_many_invoices', 'upstream_error'] as const),
];

const METERED =
  'Metered: a hold is taken before a provider is asked, and what the answer cost is charged after it. Failed and empty answers cost nothing.';
const KEYLESS = 'No key is needed: the first answer is a 402 with an invoice, and what pays it is the credential from then on.';

/** The operation of a path that takes inference requests. */
export function inferenceOperation(route: InferenceRoute): Operation {
  const name = nameOf(route.surface);
  const { id, summary, parameters, example, answer, events } = DESCRIPTIONS[name];
  const own = name === 'pura-router' ? 'route' : id;
  const told = route.session
    ? `${summary}, for the playground`
    : route.keyless
      ? `${summary}: paid per request, without a key`
      : route.path === '/api/chat'
        ? `${summary}, streamed unless told otherwise`
        : summary;
  const stream: BodyDescription['content'] = events ? { 'text/event-stream': { schema: anyEvents, example: events } } : {};
  return {
    id: route.session ? 'playgroundChat' : route.keyless ? `${own}Keyless` : route.path === '/api/chat' ? 'chat' : own,
    method: 'post',
    path: route.path,
    asker: route.session ? 'session' : route.keyless ? 'anybody' : 'key',
    tag: route.session ? 'Console' : 'Inference',
    summary: told,
    description: [METERED, ...(route.keyless ? [KEYLESS] : []), refusedOf(parameters)].join('\n\n'),
    headers: INFERENCE_REQUEST_HEADERS,
    ...(route.session && { query: OF_SESSION }),
    body: jsonBody(bodyOf(name), example),
    answers: {
      200: {
        ...json('The answer. Streams are server-sent events, ended by a comment with the settled figures and the last event.', answer, {
          headers: INFERENCE_HEADERS,
        }),
        content: { 'application/json': { schema: answer }, ...stream },
      },
    },
    errors: [
      ...(route.keyless ? (['invalid_api_key'] as const) : []),
      ...(route.session ? (['key_not_found'] as const) : []),
      ...ERRORS_OF_INFERENCE,
    ],
  };
}

/** What a request would cost, without carrying it out. */
export function estimateOperation({ path, session = false }: InferenceRoute): Operation {
  const { example } = DESCRIPTIONS['openai-chat'];
  return {
    id: session ? 'playgroundEstimate' : 'estimateCost',
    method: 'post',
    path,
    asker: session ? 'session' : 'key',
    tag: session ? 'Console' : 'Inference',
    summary: `What a chat would cost: nothing is sent, held or charged${session ? ' (for the playground)' : ''}`,
    headers: INFERENCE_REQUEST_HEADERS,
    ...(session && { query: OF_SESSION }),
    body: jsonBody(bodyOf('openai-chat'), example),
    answers: { 200: json('The price.', answers.estimate) },
    errors: [
      ...([
        'unknown_parameter',
        'model_not_found',
        'model_not_allowed',
        'not_permitted',
        'rate_limit_exceeded',
        'max_cost_exceeded',
      ] as const),
      ...(session ? (['key_not_found'] as const) : []),
    ],
  };
}

/** Counts the tokens of a message that is not sent. */
export const COUNT_TOKENS_OPERATION = {
  id: 'countTokens',
  method: 'post',
  path: '/v1/messages/count_tokens',
  asker: 'key',
  tag: 'Inference',
  summary: 'The tokens of a message, estimated: free, and no provider is asked',
  body: jsonBody(fieldsOf(MESSAGES, ['messages']), { model: 'auto', messages: MESSAGES_EXAMPLE }),
  answers: { 200: json('The count.', z.strictObject({ input_tokens: count })) },
  errors: ['unknown_parameter', 'model_not_found', 'rate_limit_exceeded'],
} as const satisfies Operation;

function nameOf(surface: Surface): SurfaceName {
  const found = (Object.keys(SURFACES) as SurfaceName[]).find((name) => SURFACES[name] === surface);
  if (!found) throw new Error(`a surface that is in no list: ${surface.wire}`);
  return found;
}

function refusedOf(parameters: Parameters): string {
  const refused = [...parameters].filter(([, { rule }]) => rule === 'refused').map(([name]) => `\`${name}\``);
  const unknown = 'A field that is not listed is refused by its name.';
  return refused.length === 0
    ? unknown
    : `${unknown} So are ${refused.join(', ')}: they cost more than can be known beforehand, or name objects that are stored upstream.`;
}
