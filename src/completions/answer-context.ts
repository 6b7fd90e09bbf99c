import type { Deployment } from '../models/deployment.ts';
import type { AnswerContext } from '../wires/wire.ts';
import type { UnderWay } from './call.ts';
import { routingOf } from './decision.ts';

/**
 * What a surface must know of an answer beyond what its provider says.
 * @param promptTokens our own count, for what is said before the provider has counted.
 */
export function answerContext({ call, plan }: Pick<UnderWay, 'call' | 'plan'>, { model }: Deployment, promptTokens: number): AnswerContext {
  const { requestId } = call;
  return { requestId, model, created: Math.floor(Date.now() / 1000), promptTokens, routing: () => routingOf(plan) };
}
