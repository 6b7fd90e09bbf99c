import type { Deployment } from '../models/deployment.ts';
import type { AnswerContext } from '../wires/wire.ts';
import type { Call, Plan } from './call.ts';

/** What a surface must know of an answer beyond what its provider says. */
export function answerContext(
  { requestId }: Pick<Call, 'requestId'>,
  { quote }: Pick<Plan, 'quote'>,
  { model }: Deployment,
): AnswerContext {
  return { requestId, model, created: Math.floor(Date.now() / 1000), promptTokens: quote.promptTokens };
}
