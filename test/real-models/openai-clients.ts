import { ChatOpenAI } from '@langchain/openai';
import OpenAI, { type APIError } from 'openai';
import { gather, Refused, type Client, type Said, type Task } from './client.ts';

const sdk = ({ url, secret }: { url: string; secret: string }) => new OpenAI({ baseURL: `${url}/v1`, apiKey: secret });
const messagesOf = ({ prompt }: Task) => [{ role: 'user' as const, content: prompt }];
const optionsOf = ({ model, maxTokens, stop, n }: Task) => ({
  model,
  max_tokens: maxTokens,
  temperature: 0,
  ...(stop && { stop }),
  ...(n && { n }),
});

/** The `openai` package on each of its surfaces, and LangChain over it. */
export const OPENAI_CLIENTS: readonly Client[] = [
  {
    name: 'openai',
    path: '/v1/chat/completions',
    capped: 'length',
    canStop: true,
    canAskForMore: true,
    say: (where, task) => refusing(() => chat(sdk(where), task)),
  },
  {
    name: 'openai, legacy completions',
    path: '/v1/completions',
    capped: 'length',
    canStop: true,
    canAskForMore: true,
    say: (where, task) => refusing(() => completions(sdk(where), task)),
  },
  {
    name: 'openai, responses',
    path: '/v1/responses',
    capped: 'max_output_tokens',
    canStop: false,
    canAskForMore: false,
    say: (where, task) => refusing(() => responses(sdk(where), task)),
  },
  {
    name: '@langchain/openai',
    path: '/v1/chat/completions',
    capped: 'length',
    canStop: true,
    canAskForMore: false,
    say: (where, task) => refusing(() => langChain(where, task)),
  },
];

async function chat(client: OpenAI, task: Task): Promise<Said> {
  const options = { ...optionsOf(task), messages: messagesOf(task) };
  if (!task.stream) {
    const { choices } = await client.chat.completions.create(options);
    return { texts: choices.map(({ message }) => message.content ?? ''), finish: choices[0]?.finish_reason ?? null };
  }
  const stream = await client.chat.completions.create({ ...options, stream: true });
  let finish: string | null = null;
  const pieces = map(stream, ({ choices: [choice] }) => {
    finish = choice?.finish_reason ?? finish;
    return choice?.delta.content ?? '';
  });
  const { text } = await gather(pieces, task, () => stream.controller.abort());
  return { texts: [text], finish };
}

async function completions(client: OpenAI, task: Task): Promise<Said> {
  const options = { ...optionsOf(task), prompt: task.prompt };
  if (!task.stream) {
    const { choices } = await client.completions.create(options);
    return { texts: choices.map(({ text }) => text), finish: choices[0]?.finish_reason ?? null };
  }
  const stream = await client.completions.create({ ...options, stream: true });
  let finish: string | null = null;
  const pieces = map(stream, ({ choices: [choice] }) => {
    finish = choice?.finish_reason ?? finish;
    return choice?.text ?? '';
  });
  const { text } = await gather(pieces, task, () => stream.controller.abort());
  return { texts: [text], finish };
}

async function responses(client: OpenAI, task: Task): Promise<Said> {
  const options = { model: task.model, input: task.prompt, max_output_tokens: task.maxTokens, temperature: 0 };
  if (!task.stream) {
    const answer = await client.responses.create(options);
    return { texts: [answer.output_text], finish: answer.incomplete_details?.reason ?? answer.status ?? null };
  }
  const stream = await client.responses.create({ ...options, stream: true });
  let finish: string | null = null;
  const pieces = map(stream, (event) => {
    if (event.type === 'response.completed' || event.type === 'response.incomplete') {
      finish = event.response.incomplete_details?.reason ?? event.response.status ?? null;
    }
    return event.type === 'response.output_text.delta' ? event.delta : '';
  });
  const { text } = await gather(pieces, task, () => stream.controller.abort());
  return { texts: [text], finish };
}

async function langChain({ url, secret }: { url: string; secret: string }, task: Task): Promise<Said> {
  const { model, maxTokens, prompt, stop } = task;
  const llm = new ChatOpenAI({ model, maxTokens, temperature: 0, apiKey: secret, configuration: { baseURL: `${url}/v1` } });
  const leaving = new AbortController();
  const options = { signal: leaving.signal, ...(stop && { stop: [stop] }) };
  const finishOf = (metadata: Record<string, unknown>) => (metadata['finish_reason'] as string | undefined) ?? null;
  if (!task.stream) {
    const { text, response_metadata: metadata } = await llm.invoke(prompt, options);
    return { texts: [text], finish: finishOf(metadata) };
  }
  let finish: string | null = null;
  const pieces = map(await llm.stream(prompt, options), ({ text, response_metadata: metadata }) => {
    finish = finishOf(metadata) ?? finish;
    return text;
  });
  const { text } = await gather(pieces, task, () => leaving.abort());
  return { texts: [text], finish };
}

async function* map<T>(items: AsyncIterable<T>, textOf: (item: T) => string): AsyncGenerator<string> {
  for await (const item of items) yield textOf(item);
}

async function refusing(say: () => Promise<Said>): Promise<Said> {
  try {
    return await say();
  } catch (error) {
    // LangChain has its own copy of the package, so its errors are told by what they carry.
    const { status, message } = error as APIError;
    throw typeof status === 'number' ? new Refused(status, message) : error;
  }
}
