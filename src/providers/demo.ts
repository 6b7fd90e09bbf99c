import { createHash } from 'node:crypto';
import type { Abort } from './abort.ts';
import { demoAnswer, type DemoAnswer, type DemoChoice } from './demo-answer.ts';
import { demoEmbedding } from './demo-embedding.ts';
import type { BodyReader, Provider, UpstreamAnswer, UpstreamRequest } from './provider.ts';
import { ProviderError } from './provider-error.ts';

/** Tokens in one chunk of a stream. */
const CHUNK_TOKENS = 4;

interface Head {
  id: string;
  created: number;
  model: unknown;
  system_fingerprint: string;
}

/**
 * The built-in provider for a gateway without any other: three priced models that answer without a network. The answer
 * depends on the request alone, streams, keeps to `max_tokens`, and says that it is a demo.
 */
export function createDemo(): Provider {
  return {
    id: 'demo',
    demo: true,
    passesHeaders: false,
    send: async ({ wire, body, stream }: UpstreamRequest, abort: Abort) => {
      if (abort.aborted) throw new ProviderError('aborted', 'the request was aborted');
      const request = JSON.parse(body.toString()) as Record<string, unknown>;
      if (wire === 'openai-embeddings') return new LocalAnswer([JSON.stringify(demoEmbedding(request))], 'application/json', abort);
      const answer = demoAnswer(request);
      const head: Head = {
        id: `chatcmpl-demo-${createHash('sha256').update(body).digest('hex').slice(0, 24)}`,
        created: Math.floor(Date.now() / 1000),
        model: request['model'],
        system_fingerprint: 'demo',
      };
      const chunks = stream ? streamChunks(head, answer, request) : [JSON.stringify(jsonBody(head, answer))];
      return new LocalAnswer(chunks, stream ? 'text/event-stream' : 'application/json', abort);
    },
    close: async () => {},
  };
}

function jsonBody(head: Head, { choices, usage }: DemoAnswer): object {
  return {
    ...head,
    object: 'chat.completion',
    choices: choices.map((choice, index) => ({
      index,
      message: messageOf(choice, head, index),
      logprobs: null,
      finish_reason: choice.finishReason,
    })),
    usage,
  };
}

function messageOf({ pieces, tool }: DemoChoice, head: Head, index: number): object {
  const text = pieces.join('');
  if (tool === null) return { role: 'assistant', content: text, refusal: null };
  const call = { id: callId(head, index), type: 'function', function: { name: tool, arguments: text } };
  return { role: 'assistant', content: null, refusal: null, tool_calls: [call] };
}

function* streamChunks(head: Head, { choices, usage }: DemoAnswer, request: Record<string, unknown>): Generator<string> {
  const options = request['stream_options'] as { include_usage?: unknown } | null | undefined;
  const withUsage = options?.include_usage === true;
  const event = (members: object) =>
    `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', ...(withUsage && { usage: null }), ...members })}\n\n`;
  const delta = (index: number, change: object, finishReason: string | null = null) =>
    event({ choices: [{ index, delta: change, logprobs: null, finish_reason: finishReason }] });

  for (const [index, { pieces, tool, finishReason }] of choices.entries()) {
    const opening = { index: 0, id: callId(head, index), type: 'function', function: { name: tool, arguments: '' } };
    yield delta(index, tool === null ? { role: 'assistant', content: '' } : { role: 'assistant', content: null, tool_calls: [opening] });
    for (let from = 0; from < pieces.length; from += CHUNK_TOKENS) {
      const text = pieces.slice(from, from + CHUNK_TOKENS).join('');
      yield delta(index, tool === null ? { content: text } : { tool_calls: [{ index: 0, function: { arguments: text } }] });
    }
    yield delta(index, {}, finishReason);
  }
  if (withUsage) yield event({ choices: [], usage });
  yield 'data: [DONE]\n\n';
}

function callId({ id }: Head, index: number): string {
  return `call_${id.slice(-12)}_${index}`;
}

/** An answer made in this process, delivered like one from a network: a chunk a turn, at the reader's pace. */
class LocalAnswer implements UpstreamAnswer {
  readonly status = 200;
  readonly headers: UpstreamAnswer['headers'];
  readonly #chunks: Iterable<string>;
  readonly #abort: Abort;
  #goOn: (() => void) | undefined;

  constructor(chunks: Iterable<string>, contentType: string, abort: Abort) {
    this.headers = { 'content-type': contentType };
    this.#chunks = chunks;
    this.#abort = abort;
  }

  read(reader: BodyReader): void {
    void this.#deliver(reader);
  }

  resume(): void {
    this.#goOn?.();
  }

  async #deliver(reader: BodyReader): Promise<void> {
    this.#abort.onAbort = () => this.#goOn?.();
    for (const chunk of this.#chunks) {
      await new Promise(setImmediate);
      if (this.#abort.aborted) return reader.error(new ProviderError('aborted', 'the request was aborted'));
      const resumed = new Promise<void>((resolve) => (this.#goOn = resolve));
      if (!reader.data(Buffer.from(chunk))) await resumed;
    }
    this.#abort.onAbort = undefined;
    reader.end();
  }
}
