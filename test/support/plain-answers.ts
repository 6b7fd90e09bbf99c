import type { WireName } from '../../src/wires/wire.ts';

/** The text of every plain answer. */
const TEXT = 'Hello.';

const PATHS: readonly (readonly [ending: RegExp, wire: WireName])[] = [
  [/\/chat\/completions$/, 'openai-chat'],
  [/\/completions$/, 'openai-completions'],
  [/\/responses$/, 'openai-responses'],
  [/\/embeddings$/, 'openai-embeddings'],
  [/\/messages$/, 'anthropic-messages'],
  [/:(stream)?generateContent$/i, 'gemini-generate'],
  [/:batchEmbedContents$/, 'gemini-embed'],
];

/** The wire that a provider is spoken to in at this path. */
export function wireOfPath(path: string): WireName {
  const [bare = ''] = path.split('?');
  const found = PATHS.find(([ending]) => ending.test(bare));
  if (!found) throw new Error(`no wire has the path ${path}`);
  return found[1];
}

/** A small good answer in a wire: the text `Hello.`, 10 tokens of prompt and 5 of output; for embeddings one vector an input. */
export function plainAnswer(wire: WireName, stream: boolean, request: Record<string, unknown>): { contentType: string; body: Buffer } {
  const answer = ANSWERS[wire];
  if (stream) return { contentType: 'text/event-stream', body: Buffer.from(answer.events?.() ?? '') };
  return { contentType: 'application/json', body: Buffer.from(JSON.stringify(answer.json(request))) };
}

interface PlainAnswer {
  json(request: Record<string, unknown>): object;
  events?(): string;
}

const event = (data: object, name?: string): string => `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
type Named = { type: string } & Record<string, unknown>;
const named = (data: Named): string => event(data, data.type);
const DONE = 'data: [DONE]\n\n';

const openAiUsage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
const chat = { id: 'chatcmpl-1', created: 1_735_689_600, model: 'fake' };
const completion = { id: 'cmpl-1', object: 'text_completion', created: 1_735_689_600, model: 'fake' };
const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'fake', stop_reason: null, stop_sequence: null };
const item = { id: 'item_1', type: 'message', role: 'assistant', status: 'completed' };
const part = { type: 'output_text', text: TEXT, annotations: [] };
const response = {
  ...{ id: 'resp_1', object: 'response', created_at: 1_735_689_600, model: 'fake', status: 'completed', error: null },
  output: [{ ...item, content: [part] }],
  usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
};
const candidate = { content: { role: 'model', parts: [{ text: TEXT }] }, finishReason: 'STOP', index: 0 };
const generated = {
  candidates: [candidate],
  usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
  modelVersion: 'fake',
};

const ANSWERS: Readonly<Record<WireName, PlainAnswer>> = {
  'openai-chat': {
    json: () => ({
      ...chat,
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content: TEXT, refusal: null }, finish_reason: 'stop', logprobs: null }],
      usage: openAiUsage,
    }),
    events: () => {
      const chunk = (delta: object, finish: string | null) =>
        event({ ...chat, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] });
      const usage = event({ ...chat, object: 'chat.completion.chunk', choices: [], usage: openAiUsage });
      return chunk({ role: 'assistant', content: '' }, null) + chunk({ content: TEXT }, null) + chunk({}, 'stop') + usage + DONE;
    },
  },
  'openai-completions': {
    json: ({ prompt }) => {
      const prompts = Array.isArray(prompt) && typeof prompt[0] === 'string' ? prompt : [prompt];
      const choices = prompts.map((_prompt, index) => ({ index, text: TEXT, finish_reason: 'stop', logprobs: null }));
      return { ...completion, choices, usage: openAiUsage };
    },
    events: () => {
      const choice = (text: string, finish: string | null) =>
        event({ ...completion, choices: [{ index: 0, text, finish_reason: finish }] });
      return choice(TEXT, null) + choice('', 'stop') + event({ ...completion, choices: [], usage: openAiUsage }) + DONE;
    },
  },
  'openai-responses': {
    json: () => response,
    events: () => {
      const [open, place] = [
        { ...response, status: 'in_progress', output: [], usage: null },
        { output_index: 0, item_id: 'item_1' },
      ];
      const events: Named[] = [
        { type: 'response.created', response: open },
        { type: 'response.in_progress', response: open },
        { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
        { type: 'response.content_part.added', ...place, content_index: 0, part: { ...part, text: '' } },
        { type: 'response.output_text.delta', ...place, content_index: 0, delta: TEXT },
        { type: 'response.output_text.done', ...place, content_index: 0, text: TEXT },
        { type: 'response.content_part.done', ...place, content_index: 0, part },
        { type: 'response.output_item.done', output_index: 0, item: { ...item, content: [part] } },
        { type: 'response.completed', response },
      ];
      return events.map((data, sequence_number) => named({ ...data, sequence_number })).join('');
    },
  },
  'anthropic-messages': {
    json: () => ({
      ...message,
      content: [{ type: 'text', text: TEXT }],
      stop_reason: 'end_turn',
      usage: { input_tokens: 10, output_tokens: 5 },
    }),
    events: () =>
      [
        { type: 'message_start', message: { ...message, content: [], usage: { input_tokens: 10, output_tokens: 1 } } },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: TEXT } },
        { type: 'content_block_stop', index: 0 },
        { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 5 } },
        { type: 'message_stop' },
      ]
        .map(named)
        .join(''),
  },
  'gemini-generate': { json: () => generated, events: () => event(generated) },
  'openai-embeddings': {
    json: ({ input }) => {
      const inputs = Array.isArray(input) && typeof input[0] !== 'number' ? input : [input];
      const data = inputs.map((_input, index) => ({ object: 'embedding', index, embedding: [0.5, -0.25, 0.125] }));
      return { object: 'list', data, model: 'fake', usage: { prompt_tokens: 10, total_tokens: 10 } };
    },
  },
  'gemini-embed': {
    json: ({ requests }) => ({ embeddings: (requests as unknown[]).map(() => ({ values: [0.5, -0.25, 0.125] })) }),
  },
};
