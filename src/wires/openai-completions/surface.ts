import { chatEvents } from '../openai-chat/events.ts';
import { textOr, usageWithFigures } from '../openai-chat/usage-chunk.ts';
import { rawUsageOf } from '../openai-chat/wire-chunk.ts';
import type { Surface } from '../wire.ts';
import { parseCompletionsRequest } from './request.ts';
import { completionsBody, CompletionsWriter } from './writer.ts';

/** OpenAI's legacy completions as clients speak them: https://platform.openai.com/docs/api-reference/completions */
export const openAiCompletions: Surface = {
  wire: 'openai-completions',
  operation: 'generate',
  parse: parseCompletionsRequest,
  body: (answer, _request, context) => completionsBody(answer, context),
  withFigures: (body, figures, { model }) => ({
    ...body,
    model: textOr(body['model'], model),
    usage: usageWithFigures(rawUsageOf(body), figures),
  }),
  writer: (request, context) => new CompletionsWriter(request, context),
  // Its chunks differ from the chat wire's only in where the text stands.
  events: chatEvents,
  errorBody: (error) => ({ ...error }),
  errorEvents: (error) => `data: ${JSON.stringify(error)}\n\n`,
};
