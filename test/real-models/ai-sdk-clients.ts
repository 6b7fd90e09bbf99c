import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, streamText, type LanguageModel } from 'ai';
import { gather, Refused, type Client, type Said, type Task } from './client.ts';

/** The `ai` package over two of its providers. */
export const AI_SDK_CLIENTS: readonly Client[] = [
  {
    name: '@ai-sdk/openai-compatible',
    path: '/v1/chat/completions',
    capped: 'length',
    canStop: true,
    canAskForMore: false,
    say: ({ url, secret }, task) =>
      refusing(() => say(createOpenAICompatible({ name: 'pura', baseURL: `${url}/v1`, apiKey: secret })(task.model), task)),
  },
  {
    name: '@ai-sdk/anthropic',
    path: '/v1/messages',
    capped: 'length',
    canStop: true,
    canAskForMore: false,
    say: ({ url, secret }, task) => refusing(() => say(createAnthropic({ baseURL: `${url}/v1`, apiKey: secret })(task.model), task)),
  },
];

async function say(model: LanguageModel, task: Task): Promise<Said> {
  const { prompt, maxTokens: maxOutputTokens, stop } = task;
  const leaving = new AbortController();
  const options = { model, prompt, maxOutputTokens, temperature: 0, abortSignal: leaving.signal, ...(stop && { stopSequences: [stop] }) };
  if (!task.stream) {
    const { text, finishReason } = await generateText(options);
    return { texts: [text], finish: finishReason };
  }
  // The stream of texts just ends where something went wrong.
  let failure: Error | undefined;
  const answer = streamText({ ...options, onError: ({ error }) => void (failure = error as Error) });
  const { text, left } = await gather(answer.textStream, task, () => leaving.abort());
  if (failure) throw failure;
  return { texts: [text], finish: left ? null : await answer.finishReason };
}

async function refusing(ask: () => Promise<Said>): Promise<Said> {
  try {
    return await ask();
  } catch (error) {
    throw APICallError.isInstance(error) && error.statusCode ? new Refused(error.statusCode, error.message) : error;
  }
}
