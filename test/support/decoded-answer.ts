import type { WireName } from '../../src/wires/wire.ts';
import { jsonOfEvents, wordOf, type Json } from './json-of-events.ts';

/**
 * What an answer says, read plainly out of the bytes of its wire: a second reading, which shares nothing with the gateway's own. Recordings of
 * providers and what clients get are read by the same decoders.
 */
export interface Decoded {
  text: string;
  reasoning: string;
  /** In their order; `id` null where the wire gave none, `input` undefined where its JSON does not close. */
  calls: { id: string | null; name: string; input: unknown }[];
  /** `refused`: by the model or by a filter. Null where the answer does not end. */
  finish: 'stop' | 'length' | 'calls' | 'refused' | 'other' | null;
  usage: { input: number; cacheRead: number; cacheWrite: number; output: number } | null;
  /** An error in place of an answer or of its end. */
  failed: boolean;
}

/** An answer whose pieces are being collected. */
class Collected {
  readonly #texts: string[] = [];
  readonly #reasoning: string[] = [];
  readonly #calls = new Map<string, { id: string | null; name: string; input: string }>();
  #finish: Decoded['finish'] = null;
  usage: Decoded['usage'] = null;
  failed = false;
  /** How often the answer began. */
  starts = 0;
  /** An argument that comes in pieces. */
  partialName = '';
  partial = '';

  text(text: unknown): void {
    if (typeof text === 'string') this.#texts.push(text);
  }

  reasoning(text: unknown): void {
    if (typeof text === 'string') this.#reasoning.push(text);
  }

  call(place: unknown, { id, name, input }: { id?: unknown; name?: unknown; input?: unknown }): void {
    const call = this.#calls.get(String(place)) ?? { id: null, name: '', input: '' };
    if (typeof id === 'string' && id !== '') call.id ??= id;
    if (typeof name === 'string' && name !== '') call.name = name;
    if (typeof input === 'string') call.input += input;
    this.#calls.set(String(place), call);
  }

  finish(finish: Decoded['finish']): void {
    this.#finish = finish ?? this.#finish;
  }

  has(place: unknown): boolean {
    return this.#calls.has(String(place));
  }

  get hasCalls(): boolean {
    return this.#calls.size > 0;
  }

  whole(): Decoded {
    const calls = [...this.#calls.values()].map(({ id, name, input }) => ({ id, name, input: parsed(input) }));
    const { usage, failed } = this;
    return { text: this.#texts.join(''), reasoning: this.#reasoning.join(''), calls, finish: this.#finish, usage, failed };
  }
}

/** The input of a call: JSON, or free text. No input is an empty object. */
function parsed(input: string): unknown {
  if (input.trim() === '') return {};
  try {
    return JSON.parse(input) as unknown;
  } catch {
    return input;
  }
}

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);

type Decoder = Readonly<Record<'json' | 'event', (body: Json, into: Collected) => void>>;

const CHAT_FINISH: Readonly<Record<string, Decoded['finish']>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'calls',
  function_call: 'calls',
  content_filter: 'refused',
};

function chatUsage(usage: Json | undefined, into: Collected): void {
  if (!usage || typeof usage['prompt_tokens'] !== 'number') return;
  const details = usage['prompt_tokens_details'];
  // Moonshot's and DeepSeek's own places.
  const cacheRead = count(details?.['cached_tokens'] ?? usage['cached_tokens'] ?? usage['prompt_cache_hit_tokens']);
  const cacheWrite = count(details?.['cache_write_tokens']);
  const input = count(usage['prompt_tokens']) - cacheRead - cacheWrite;
  into.usage = { input, cacheRead, cacheWrite, output: count(usage['completion_tokens']) };
}

function chatChoice(choice: Json, said: Json | undefined, into: Collected): void {
  into.text(said?.['content']);
  into.text(said?.['refusal']);
  into.reasoning(said?.['reasoning_content'] ?? said?.['reasoning']);
  const calls = (said?.['tool_calls'] ?? []) as unknown as Json[];
  for (const [at, call] of calls.entries()) {
    const named = call['function'] ?? call['custom'];
    into.call(call['index'] ?? at, { id: call['id'], name: named?.['name'], input: named?.['arguments'] ?? named?.['input'] });
  }
  const word = choice['finish_reason'] as unknown;
  if (typeof word === 'string') {
    const refused = word === 'stop' && typeof (said?.['refusal'] as unknown) === 'string';
    into.finish(refused ? 'refused' : (CHAT_FINISH[word] ?? 'other'));
  }
}

const chat: Decoder = {
  json(body, into) {
    const choice = body['choices']?.[0];
    if (choice) chatChoice(choice, choice['message'], into);
    chatUsage(body['usage'], into);
  },
  event(body, into) {
    if (body['error']) into.failed = true;
    const choice = body['choices']?.[0];
    if (choice) chatChoice(choice, choice['delta'], into);
    chatUsage(body['usage'] ?? choice?.['usage'], into);
  },
};

const MESSAGES_FINISH: Readonly<Record<string, Decoded['finish']>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  tool_use: 'calls',
  refusal: 'refused',
};

function messagesUsage(usage: Json | undefined, into: Collected): void {
  if (!usage) return;
  const before = into.usage ?? { input: 0, cacheRead: 0, cacheWrite: 0, output: 0 };
  const told = (name: string, otherwise: number) => (typeof usage[name] === 'number' ? count(usage[name]) : otherwise);
  into.usage = {
    input: told('input_tokens', before.input),
    cacheRead: told('cache_read_input_tokens', before.cacheRead),
    cacheWrite: told('cache_creation_input_tokens', before.cacheWrite),
    output: told('output_tokens', before.output),
  };
}

function messagesBlock(block: Json, place: unknown, into: Collected): void {
  const type = block['type'] as unknown;
  if (type === 'text') into.text(block['text']);
  if (type === 'thinking') into.reasoning(block['thinking']);
  if (type !== 'tool_use') return;
  const input = block['input'] as unknown;
  const isEmpty = typeof input === 'object' && input !== null && Object.keys(input).length === 0;
  into.call(place, { id: block['id'], name: block['name'], ...(!isEmpty && { input: JSON.stringify(input) }) });
}

function messagesFinish(reason: unknown, into: Collected): void {
  if (typeof reason === 'string') into.finish(MESSAGES_FINISH[reason] ?? 'other');
}

const messages: Decoder = {
  json(body, into) {
    for (const [at, block] of ((body['content'] ?? []) as unknown as Json[]).entries()) messagesBlock(block, at, into);
    messagesFinish(body['stop_reason'], into);
    messagesUsage(body['usage'], into);
  },
  event(body, into) {
    const [type, delta] = [body['type'] as unknown, body['delta']];
    if (type === 'error') into.failed = true;
    if (type === 'message_start') messagesUsage(body['message']?.['usage'], into);
    // Where a proxy begins again, so do the places of the blocks.
    if (type === 'message_start') into.starts += 1;
    const place = `${into.starts}.${JSON.stringify(body['index'])}`;
    if (type === 'content_block_start') messagesBlock(body['content_block'] as Json, place, into);
    if (type === 'content_block_delta') {
      into.text(delta?.['text']);
      into.reasoning(delta?.['thinking']);
      // What runs at the provider is no call of the client's.
      if (into.has(place)) into.call(place, { input: delta?.['partial_json'] });
    }
    if (type !== 'message_delta') return;
    messagesFinish(delta?.['stop_reason'], into);
    messagesUsage(body['usage'], into);
  },
};

function responsesItem(item: Json, place: unknown, into: Collected): void {
  const type = item['type'] as unknown;
  for (const part of (type === 'message' ? item['content'] : []) as unknown as Json[]) into.text(part['text'] ?? part['refusal']);
  for (const part of (type === 'reasoning' ? (item['summary'] ?? []) : []) as unknown as Json[]) into.reasoning(part['text']);
  for (const part of (type === 'reasoning' ? (item['content'] ?? []) : []) as unknown as Json[]) into.reasoning(part['text']);
  if (type === 'function_call') into.call(place, { id: item['call_id'], name: item['name'], input: item['arguments'] });
  if (type === 'custom_tool_call') into.call(place, { id: item['call_id'], name: item['name'], input: item['input'] });
}

function responsesEnd(body: Json, into: Collected): void {
  const [status, why] = [body['status'] as unknown, body['incomplete_details']?.['reason'] as unknown];
  const output = (body['output'] ?? []) as unknown as Json[];
  const parts = output.flatMap((item) => ((item['content'] as unknown) ?? []) as Json[]);
  if (status === 'incomplete') into.finish(why === 'content_filter' ? 'refused' : why === 'max_output_tokens' ? 'length' : 'other');
  else if (status === 'completed') {
    into.finish(into.hasCalls ? 'calls' : parts.some((part) => part['refusal']) ? 'refused' : 'stop');
  }
  const usage = body['usage'];
  if (!usage) return;
  const details = usage['input_tokens_details'];
  const [cacheRead, cacheWrite] = [count(details?.['cached_tokens']), count(details?.['cache_write_tokens'])];
  const input = count(usage['input_tokens']) - cacheRead - cacheWrite;
  into.usage = { input, cacheRead, cacheWrite, output: count(usage['output_tokens']) };
}

const responses: Decoder = {
  json(body, into) {
    for (const [at, item] of ((body['output'] ?? []) as unknown as Json[]).entries()) responsesItem(item, at, into);
    responsesEnd(body, into);
  },
  event(body, into) {
    const type = wordOf(body['type']);
    if (type === 'error' || type === 'response.failed') into.failed = true;
    // Whole items, as clients read them that keep no pieces.
    if (type === 'response.output_item.done') responsesItem(body['item'] as Json, body['output_index'], into);
    if (type === 'response.completed' || type === 'response.incomplete') responsesEnd(body['response'] as Json, into);
  },
};

/** Either whole, or with its arguments in pieces: first a name, then pieces without one. Only texts are read that way. */
function geminiCall(call: Json, into: Collected): void {
  const args = (call['partialArgs'] ?? []) as unknown as Json[];
  if (call['name']) into.starts += 1;
  const pieces = args.map((arg) => {
    const begins = into.partial === '';
    into.partial += wordOf(arg['stringValue']);
    return begins ? wordOf(arg['jsonPath']) : '';
  });
  const path = pieces.find((piece) => piece !== '');
  if (path !== undefined) into.partialName = path.replace('$.', '');
  if (call['name']) into.call(into.starts, { id: call['id'], name: call['name'] });
  if (call['args']) into.call(into.starts, { input: JSON.stringify(call['args']) });
  else if (args.length === 0 && into.partialName !== '') {
    into.call(into.starts, { input: JSON.stringify({ [into.partialName]: into.partial }) });
    [into.partialName, into.partial] = ['', ''];
  }
}

function geminiEvent(body: Json, into: Collected): void {
  const candidate = body['candidates']?.[0];
  for (const part of (candidate?.['content']?.['parts'] ?? []) as unknown as Json[]) {
    const call = part['functionCall'];
    if (call) geminiCall(call, into);
    else if ((part['thought'] as unknown) === true) into.reasoning(part['text']);
    else into.text(part['text']);
  }
  const word = candidate?.['finishReason'] as unknown;
  if (typeof word === 'string') {
    const known = word === 'STOP' ? 'stop' : word === 'MAX_TOKENS' ? 'length' : 'refused';
    into.finish(known);
  }
  if (body['promptFeedback']?.['blockReason']) into.finish('refused');
  const usage = body['usageMetadata'];
  if (!usage) return;
  const cacheRead = count(usage['cachedContentTokenCount']);
  const input = count(usage['promptTokenCount']) - cacheRead + count(usage['toolUsePromptTokenCount']);
  into.usage = { input, cacheRead, cacheWrite: 0, output: count(usage['candidatesTokenCount']) + count(usage['thoughtsTokenCount']) };
}

const gemini: Decoder = { json: geminiEvent, event: geminiEvent };

const DECODERS: Readonly<Partial<Record<WireName, Decoder>>> = {
  'openai-chat': chat,
  'anthropic-messages': messages,
  'openai-responses': responses,
  'gemini-generate': gemini,
};

/** Reads a whole answer in a wire: a JSON body, or the events of a stream. */
export function decode(wire: WireName, bytes: Buffer | string, stream: boolean): Decoded {
  const decoder = DECODERS[wire];
  if (!decoder) throw new Error(`no decoder for ${wire}`);
  const into = new Collected();
  if (!stream) {
    const body = JSON.parse(bytes.toString()) as Json;
    if (body['error']) into.failed = true;
    decoder.json(body, into);
  } else for (const body of jsonOfEvents(bytes.toString())) decoder.event(body, into);
  const whole = into.whole();
  // The wires of Google, and of OpenAI where a tool was named, end with a plain stop where the client is to run tools.
  return { ...whole, finish: whole.finish === 'stop' && into.hasCalls ? 'calls' : whole.finish };
}
