import Anthropic, { APIError } from '@anthropic-ai/sdk';
import { gather, Refused, type Client, type Said, type Task } from './client.ts';

/** The `@anthropic-ai/sdk` package. */
export const ANTHROPIC_CLIENT: Client = {
  name: '@anthropic-ai/sdk',
  path: '/v1/messages',
  capped: 'max_tokens',
  canStop: true,
  canAskForMore: false,
  async say({ url, secret }, task) {
    try {
      return await messages(new Anthropic({ baseURL: url, apiKey: secret }), task);
    } catch (error) {
      throw error instanceof APIError && error.status ? new Refused(error.status, error.message) : error;
    }
  },
};

async function messages(client: Anthropic, task: Task): Promise<Said> {
  const { model, prompt, maxTokens, stop } = task;
  const options = {
    model,
    max_tokens: maxTokens,
    temperature: 0,
    messages: [{ role: 'user' as const, content: prompt }],
    ...(stop && { stop_sequences: [stop] }),
  };
  if (!task.stream) {
    const { content, stop_reason: finish } = await client.messages.create(options);
    return { texts: [content.map((block) => (block.type === 'text' ? block.text : '')).join('')], finish };
  }
  const stream = client.messages.stream(options);
  const { text, left } = await gather(textsOf(stream), task, () => stream.abort());
  return { texts: [text], finish: left ? null : (await stream.finalMessage()).stop_reason };
}

async function* textsOf(stream: ReturnType<Anthropic['messages']['stream']>): AsyncGenerator<string> {
  for await (const event of stream) {
    if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') yield event.delta.text;
  }
}
