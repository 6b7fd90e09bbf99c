import type { Surface } from '../wire.ts';
import { chatBody } from './chat-body.ts';
import { ChatWriter } from './chat-writer.ts';
import { chatEvents } from './events.ts';
import { parseChatRequest } from './request.ts';
import { textOr, usageWithFigures } from './usage-chunk.ts';
import { rawUsageOf } from './wire-chunk.ts';

/** The OpenAI chat API as clients speak it (https://platform.openai.com/docs/api-reference/chat). */
export const openAiChat: Surface = {
  wire: 'openai-chat',
  operation: 'generate',
  parse: parseChatRequest,
  body: (answer, _request, context) => chatBody(answer, context),
  withFigures: (body, figures, { model }) => ({
    ...body,
    model: textOr(body['model'], model),
    usage: usageWithFigures(rawUsageOf(body), figures),
  }),
  writer: (request, context) => new ChatWriter(request, context),
  events: chatEvents,
  errorBody: (error) => ({ ...error }),
  errorEvents: (error) => `data: ${JSON.stringify(error)}\n\n`,
};
