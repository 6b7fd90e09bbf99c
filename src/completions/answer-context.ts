import type { Deployment } from '../models/deployment.ts';
import type { AnswerContext } from '../wires/wire.ts';
import type { Call } from './call.ts';

/**
 * What a surface must know of an answer beyond what its provider says.
 * @param promptTokens our own count, for what is said before the provider has counted.
 */
export function answerContext({ requestId }: Pick<Call, 'requestId'>, { model }: Deployment, promptTokens: number): AnswerContext {
  return { requestId, model, created: Math.floor(Date.now() / 1000), promptTokens };
}
