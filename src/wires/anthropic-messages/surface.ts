import type { Surface } from '../wire.ts';
import { messageBody, messageWithFigures } from './body.ts';
import { errorBody, errorEvents } from './error.ts';
import { messageEvents } from './events.ts';
import { parseMessages } from './request.ts';
import { MessagesWriter } from './writer.ts';

/** Clients that speak Anthropic's Messages API: https://docs.anthropic.com/en/api/messages. */
export const anthropicMessages: Surface = {
  wire: 'anthropic-messages',
  operation: 'generate',
  requestIdHeader: 'request-id',
  parse: (body, options) => parseMessages(body, options),
  body: (answer, _request, context) => messageBody(answer, context),
  withFigures: (body, figures) => messageWithFigures(body, figures),
  writer: (_request, context) => new MessagesWriter(context),
  events: messageEvents,
  errorBody,
  errorEvents,
};
