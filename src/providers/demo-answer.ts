/** What the built-in demo says: a pure function of the request, so that the same question gets the same answer. */

export interface DemoUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
}

export interface DemoChoice {
  /** Text, or the arguments of a tool call, in pieces of one token. */
  pieces: readonly string[];
  /** The tool that is called; null where the answer is text. */
  tool: string | null;
  finishReason: 'stop' | 'length' | 'tool_calls';
}

export interface DemoAnswer {
  choices: readonly DemoChoice[];
  usage: DemoUsage;
}

type Json = Record<string, unknown>;

const IMAGE_TOKENS = 85;
const MESSAGE_TOKENS = 4;
const MAX_QUOTED_CHARACTERS = 200;
const MAX_SCHEMA_DEPTH = 8;

/** A token of the demo: a blank and up to four characters. */
const TOKEN = /\s?\S{1,4}|\s/gu;

/** Answers a chat request as it goes upstream. Unknown and malformed members are ignored. */
export function demoAnswer(request: Json): DemoAnswer {
  const cap = firstNumber(request['max_tokens'], request['max_completion_tokens']) ?? Infinity;
  const choiceCount = firstNumber(request['n']) ?? 1;
  const tool = chosenTool(request);
  const whole = tokensOf(tool ? JSON.stringify(sampleOf(tool.schema)) : cutAt(textAnswer(request), request['stop']));
  const pieces = whole.slice(0, cap);
  const finishReason = pieces.length < whole.length ? 'length' : tool ? 'tool_calls' : 'stop';
  const choices = Array.from({ length: choiceCount }, (): DemoChoice => ({ pieces, tool: tool?.name ?? null, finishReason }));
  const promptTokens = countPrompt(request);
  const completionTokens = pieces.length * choiceCount;
  return {
    choices,
    usage: {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0 },
    },
  };
}

function textAnswer(request: Json): string {
  const format = asObject(request['response_format']);
  if (format['type'] === 'json_schema') return JSON.stringify(sampleOf(asObject(asObject(format['json_schema'])['schema'])));
  const said = lastUserText(request);
  if (format['type'] === 'json_object') return JSON.stringify({ demo: true, model: request['model'], you_said: said });
  const sentences = [
    `This is the demo model ${String(request['model'])} of Pura, not a real language model.`,
    said ? `You said: "${said}"` : 'You said nothing.',
    'The tokens of this answer were counted, priced and charged exactly like those of a real provider.',
    'Configure a provider key to talk to a real model.',
  ];
  return sentences.slice(0, request['model'] === 'demo-cheap' ? 2 : request['model'] === 'demo-mid' ? 3 : 4).join(' ');
}

function lastUserText(request: Json): string {
  const message = messagesOf(request).findLast(({ role }) => role === 'user');
  return textsOf(message?.['content']).join(' ').replace(/\s+/gu, ' ').trim().slice(0, MAX_QUOTED_CHARACTERS);
}

/** The tool that the request insists on; under `auto` the demo answers in words. */
function chosenTool(request: Json): { name: string; schema: Json } | null {
  const functions = asArray(request['tools']).map((tool) => asObject(asObject(tool)['function']));
  const choice = request['tool_choice'];
  const wanted = asObject(asObject(choice)['function'])['name'];
  const tool = choice === 'required' ? functions[0] : functions.find(({ name }) => name === wanted && name !== undefined);
  return tool ? { name: String(tool['name']), schema: asObject(tool['parameters']) } : null;
}

/** The plainest value that a JSON schema allows, as far as the demo understands it. */
function sampleOf(schema: Json, depth = 0): unknown {
  if (schema['const'] !== undefined) return schema['const'];
  const options = asArray(schema['enum']);
  if (options.length > 0) return options[0];
  const alternatives = [...asArray(schema['anyOf']), ...asArray(schema['oneOf'])];
  if (alternatives.length > 0 && depth < MAX_SCHEMA_DEPTH) return sampleOf(asObject(alternatives[0]), depth + 1);
  const type = Array.isArray(schema['type']) ? schema['type'][0] : schema['type'];
  if (type === 'string') return 'demo';
  if (type === 'number' || type === 'integer') return firstNumber(schema['minimum']) ?? 1;
  if (type === 'boolean') return true;
  if (type === 'array') return [];
  if (type === 'null') return null;
  const required = new Set(asArray(schema['required']));
  const properties = Object.entries(asObject(schema['properties'])).filter(([name]) => required.has(name));
  if (depth >= MAX_SCHEMA_DEPTH) return {};
  return Object.fromEntries(properties.map(([name, property]) => [name, sampleOf(asObject(property), depth + 1)]));
}

function countPrompt(request: Json): number {
  let tokens = 0;
  for (const message of messagesOf(request)) {
    const { content } = message;
    const images = asArray(content).filter((part) => asObject(part)['type'] === 'image_url').length;
    const calls = message['tool_calls'] === undefined ? '' : JSON.stringify(message['tool_calls']);
    tokens += MESSAGE_TOKENS + images * IMAGE_TOKENS + tokensOf(textsOf(content).join('') + calls).length;
  }
  for (const name of ['tools', 'response_format'])
    if (request[name] !== undefined) tokens += tokensOf(JSON.stringify(request[name])).length;
  return tokens;
}

function cutAt(text: string, stop: unknown): string {
  const stops = (typeof stop === 'string' ? [stop] : asArray(stop)).filter((end) => typeof end === 'string' && end !== '');
  const at = stops.map((end) => text.indexOf(end as string)).filter((index) => index >= 0);
  return at.length > 0 ? text.slice(0, Math.min(...at)) : text;
}

function textsOf(content: unknown): string[] {
  if (typeof content === 'string') return [content];
  return asArray(content)
    .map((part) => asObject(part)['text'])
    .filter((text) => typeof text === 'string');
}

function messagesOf(request: Json): Json[] {
  return asArray(request['messages']).map(asObject);
}

function tokensOf(text: string): string[] {
  return text.match(TOKEN) ?? [];
}

function firstNumber(...values: unknown[]): number | undefined {
  return values.find((value) => typeof value === 'number');
}

function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function asObject(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
