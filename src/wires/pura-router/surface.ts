import { openAiChat } from '../openai-chat/surface.ts';
import type { AnswerContext, JsonObject, Surface } from '../wire.ts';
import { parseRouterRequest } from './request.ts';
import { RouterStreamReader } from './reader.ts';

/** The chat wire for who leaves the choice of the model to the gateway, and wants to know why it chose as it did. */
export const puraRouter: Surface = {
  ...openAiChat,
  parse: parseRouterRequest,
  withFigures: (body, figures, context) => ({ ...openAiChat.withFigures(body, figures, context), ...tellingMembers(context) }),
  retold: (reader, context) => new RouterStreamReader(reader, tellingMembers(context)),
};

/** What an answer has beside those of a chat; the id is the gateway's own, whoever answered. */
function tellingMembers({ requestId, routing }: AnswerContext): JsonObject {
  return { id: `router-${requestId}`, routing: routing?.() ?? null };
}
