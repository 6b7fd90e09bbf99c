import type { Surface } from '../wire.ts';
import { responseBody, withFigures } from './body.ts';
import { errorEvents } from './error-events.ts';
import { responseEvents } from './events.ts';
import { parseResponseRequest } from './request.ts';
import { ResponsesWriter } from './writer.ts';

/** The Responses API as clients speak it (https://platform.openai.com/docs/api-reference/responses). Nothing is stored. */
export const openAiResponses: Surface = {
  wire: 'openai-responses',
  operation: 'generate',
  parse: parseResponseRequest,
  body: responseBody,
  withFigures: (body, figures) => withFigures(body, figures),
  writer: (request, context) => new ResponsesWriter(request, context),
  events: responseEvents,
  errorBody: (error) => ({ ...error }),
  errorEvents,
};
