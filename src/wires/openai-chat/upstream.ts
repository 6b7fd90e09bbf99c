import { GatewayError } from '../../errors.ts';
import { asksForLongCache } from '../long-cache.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import { tenantCacheKey } from '../tenant.ts';
import type { AnswerRead, JsonObject, Rendering, Upstream } from '../wire.ts';
import { collectWritten, isWorthDelivering, type Written } from '../written.ts';
import { chatAnswer } from './chat-answer.ts';
import { ChatParts } from './chat-parts.ts';
import { renderGeneration } from './from-generation.ts';
import { generationObstacle } from './generation-obstacle.ts';
import { withoutImageData, type ChatMessage } from './messages.ts';
import { ChatStreamReader } from './reader.ts';
import { reportedUsageOf } from './usage.ts';
import { choicesOf, failureOf, rawUsageOf } from './wire-chunk.ts';

/** A provider that speaks the OpenAI chat API (https://platform.openai.com/docs/api-reference/chat), or nearly. */
export const openAiChatUpstream: Upstream = {
  wire: 'openai-chat',
  operation: 'generate',
  obstacle: (request, target) =>
    request.wire === 'openai-chat' ? obstacleOnSameWire(request, target) : generationObstacle(request, target),
  render: (request, target) => (request.wire === 'openai-chat' ? renderSameWire(request, target) : renderGeneration(request, target)),
  read: readChatAnswer,
  reader: (context) => new ChatStreamReader(context),
  parts: () => new ChatParts(),
};

/** The effort of no reasoning: with any other, or none given, a model that thinks thinks. */
const NO_REASONING = 'none';
const DEVELOPER = 'developer';

function obstacleOnSameWire(request: InferenceRequest, target: Target): GatewayError | null {
  const { fields, completions } = request;
  const { dialect, traits } = target;
  const refused = dialect.refuses.find((name) => fields[name] !== undefined);
  if (refused !== undefined) return notTaken(`${target.model} does not take ${refused}.`, refused);
  if (completions > 1 && !dialect.manyCompletions) return notTaken(`${target.model} gives one completion at a time.`, 'n');
  if (traits.toolsNeedResponses && request.facts().hasTools && fields['reasoning_effort'] !== NO_REASONING) {
    return notTaken(`${target.model} takes no tools here while it reasons.`, 'tools');
  }
  return null;
}

function notTaken(message: string, param: string): GatewayError {
  return new GatewayError('invalid_request', { message, param });
}

/** The text of a request's fields is the same for most targets: it is made once. */
const texts = new WeakMap<InferenceRequest, string>();

function renderSameWire(request: InferenceRequest, target: Target): Rendering {
  const { ignored, fields } = sentFields(request, target);
  const isWhole = fields === request.fields;
  const text = (): string => {
    const known = isWhole ? texts.get(request) : undefined;
    if (known !== undefined) return known;
    const made = JSON.stringify(fields);
    if (isWhole) texts.set(request, made);
    return made;
  };
  const seen = (): string =>
    request.media.images === 0 ? text() : JSON.stringify({ ...fields, messages: withoutImageData(fields['messages'] as ChatMessage[]) });
  return {
    path: '/chat/completions',
    headers: [],
    ignored,
    get cachesLong() {
      return asksForLongCache(fields, text());
    },
    promptText: seen,
    body(outputTokens, accountHash) {
      const own = ownFields(request, target, outputTokens, accountHash);
      return Buffer.from(`${JSON.stringify(own).slice(0, -1)},${text().slice(1)}`);
    },
  };
}

/** The fields that go upstream as they came: without those that this provider drops, with the extras that it knows. */
function sentFields({ fields, extras }: InferenceRequest, { dialect, allowParameters }: Target): { fields: JsonObject; ignored: string[] } {
  const names = Object.keys(extras);
  const dropped = dialect.drops.filter((name) => fields[name] !== undefined);
  const isTaken = (name: string) => dialect.takes.includes(name) || allowParameters.includes(name);
  const taken = names.filter(isTaken);
  const ignored = [...dropped, ...names.filter((name) => !isTaken(name))];
  const messages = fields['messages'] as readonly ChatMessage[];
  const renamed = !dialect.developerRole && messages.some(({ role }) => role === DEVELOPER);
  if (dropped.length === 0 && taken.length === 0 && !renamed) return { fields, ignored };
  const sent = { ...fields };
  if (renamed) sent['messages'] = messages.map((message) => (message.role === DEVELOPER ? { ...message, role: 'system' } : message));
  for (const name of dropped) delete sent[name];
  for (const name of taken) sent[name] = extras[name];
  return { fields: sent, ignored };
}

/** What the gateway itself decides of an upstream body. */
function ownFields({ own, stream }: InferenceRequest, target: Target, outputTokens: number, accountHash: string): JsonObject {
  const { dialect, model, maxOutputTokens } = target;
  const decided: JsonObject = { model, [dialect.capField]: Math.min(outputTokens, maxOutputTokens) };
  if (stream) {
    decided['stream'] = true;
    decided['stream_options'] = { ...(own['stream_options'] as JsonObject | undefined), include_usage: true };
  }
  // Some store by default; other servers may not know the field, so they see it only where the client sent it.
  if (dialect.stores || typeof own['store'] === 'boolean') decided['store'] = false;
  if (typeof own['user'] === 'string') decided['user'] = accountHash;
  if (typeof own['safety_identifier'] === 'string') decided['safety_identifier'] = accountHash;
  const cacheKey = own['prompt_cache_key'];
  if (typeof cacheKey === 'string') decided['prompt_cache_key'] = tenantCacheKey(accountHash, cacheKey);
  for (const name of dialect.drops) delete decided[name];
  return decided;
}

function readChatAnswer(body: unknown): AnswerRead {
  const value = (typeof body === 'object' && body !== null ? body : {}) as JsonObject;
  const choices = choicesOf(value);
  return {
    failure: failureOf(body),
    isAnswer: choices.some(isWorthDelivering),
    usage: reportedUsageOf(rawUsageOf(value)),
    written() {
      const written: Written = { texts: [], binaryCharacters: 0 };
      for (const choice of choices) collectWritten(choice, written);
      return written;
    },
    answer: () => chatAnswer(value),
  };
}
