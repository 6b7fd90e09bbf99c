import { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { PARAMETERS } from '../openai-chat/parameters.ts';
import { parseChatRequest } from '../openai-chat/request.ts';
import type { Parameter, Parameters } from '../parameter.ts';
import type { InferenceRequest, ParseOptions, ReadBody, RoutingOptions } from '../request.ts';
import { routingSchema } from '../routing-options.ts';

const { models, cost_weight: costWeight } = routingSchema.shape;
const gateway = (schema: z.ZodType): Parameter => ({ rule: 'gateway', schema: schema.nullish() });

/** What the router takes beside the fields of a chat. Two of them are those of `routing`, by shorter names. */
export const ROUTER_PARAMETERS: Parameters = new Map([
  ...PARAMETERS,
  ['model', gateway(z.literal('auto', 'is for the router to choose: leave it out, or name those to choose from in models'))],
  ['execute', gateway(z.boolean())],
  ['models', gateway(models)],
  ['cost_weight', gateway(costWeight)],
]);

/** Reads a request to the router: a chat whose model is for the gateway to choose. Throws as the chat's does. */
export function parseRouterRequest(body: ReadBody, options: ParseOptions): InferenceRequest {
  const request = parseChatRequest(body, options, ROUTER_PARAMETERS);
  const { own, routing } = request;
  const chosen: RoutingOptions = {
    ...routing,
    ...(own['models'] !== undefined && { modelsParam: 'models' }),
    models: eitherOf('models', own['models'] as string[] | undefined, routing.models),
    costWeight: eitherOf('cost_weight', own['cost_weight'] as number | undefined, routing.costWeight),
  };
  return { ...request, routing: chosen, decisionOnly: own['execute'] === false };
}

function eitherOf<T>(param: string, short: T | undefined, long: T | null): T | null {
  if (short !== undefined && long !== null) {
    throw new GatewayError('invalid_request', { message: `${param}: is there twice, as routing.${param} too`, param });
  }
  return short ?? long;
}
