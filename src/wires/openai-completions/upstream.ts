import type { GatewayError } from '../../errors.ts';
import { clientField } from '../client-fields.ts';
import { isObject } from '../json-object.ts';
import { ChatParts } from '../openai-chat/chat-parts.ts';
import { finishOf } from '../openai-chat/chat-finish.ts';
import { ChatStreamReader } from '../openai-chat/reader.ts';
import { reportedUsageOf } from '../openai-chat/usage.ts';
import { choicesOf, failureOf, finishReasonOf, member, rawUsageOf } from '../openai-chat/wire-chunk.ts';
import { cannot } from '../obstacle.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import type { AnswerRead, JsonObject, Rendering, Upstream } from '../wire.ts';
import { collectWritten, isWorthDelivering, type Written } from '../written.ts';

/** Providers that speak OpenAI's legacy completions, or nearly: https://platform.openai.com/docs/api-reference/completions */
export const openAiCompletionsUpstream: Upstream = {
  wire: 'openai-completions',
  operation: 'generate',
  obstacle: obstacleTo,
  render,
  read: readCompletions,
  reader: (context) => new ChatStreamReader(context, undefined, { chunkName: 'text_completion', idPrefix: 'cmpl-' }),
  parts: () => new ChatParts(),
};

/** The models of OpenAI's that complete a text. All others chat. */
const COMPLETING = /instruct|davinci|babbage/;

function obstacleTo(request: InferenceRequest, { providerId, model, dialect }: Target): GatewayError | null {
  // A conversation is no prompt: only the model's own template could make it one.
  if (request.wire !== 'openai-completions')
    return cannot('this model completes texts and does not chat', clientField(request.wire, 'messages'));
  if (providerId === 'openai' && !COMPLETING.test(model))
    return cannot('this model chats and does not complete texts', request.ownWireOnly ?? 'model');
  const refused = dialect.refuses.find((name) => request.fields[name] !== undefined);
  if (refused !== undefined) return cannot('this model does not take it', refused);
  return request.completions > 1 && !dialect.manyCompletions ? cannot('this model gives one completion at a time', 'n') : null;
}

function render(request: InferenceRequest, target: Target): Rendering {
  const { extras, own } = request;
  const { dialect, allowParameters, model, maxOutputTokens } = target;
  const taken = Object.keys(extras).filter((name) => dialect.takes.includes(name) || allowParameters.includes(name));
  const dropped = dialect.drops.filter((name) => request.fields[name] !== undefined);
  const fields: JsonObject = { ...request.fields, ...Object.fromEntries(taken.map((name) => [name, extras[name]])) };
  for (const name of dropped) delete fields[name];
  const streamOptions = isObject(own['stream_options']) ? own['stream_options'] : {};
  return {
    path: '/completions',
    headers: [],
    ignored: [...dropped, ...Object.keys(extras).filter((name) => !taken.includes(name))],
    promptText: () => JSON.stringify(fields),
    body(outputTokens, accountHash) {
      const decided = {
        model,
        // The newer name of the cap is the chat wire's alone.
        max_tokens: Math.min(outputTokens, maxOutputTokens),
        ...(request.stream && { stream: true, stream_options: { ...streamOptions, include_usage: true } }),
        ...(own['user'] !== undefined && !dialect.drops.includes('user') && { user: accountHash }),
      };
      return Buffer.from(JSON.stringify({ ...decided, ...fields }));
    },
  };
}

function readCompletions(body: unknown): AnswerRead {
  const value = isObject(body) ? body : {};
  const choices = choicesOf(value);
  const usage = reportedUsageOf(rawUsageOf(value));
  return {
    failure: failureOf(body),
    isAnswer: choices.some(isWorthDelivering),
    usage,
    written() {
      const written: Written = { texts: [], binaryCharacters: 0 };
      for (const choice of choices) collectWritten(choice, written);
      return written;
    },
    answer: () => ({
      usage,
      completions: choices.map((choice, position) => {
        const index = member(choice, 'index');
        const text = member(choice, 'text');
        return {
          index: typeof index === 'number' ? index : position,
          parts: typeof text === 'string' && text !== '' ? [{ type: 'text', text }] : [],
          finish: finishOf(choice, finishReasonOf(choice) ?? 'stop', { calls: false, refusal: false }),
        };
      }),
    }),
  };
}
