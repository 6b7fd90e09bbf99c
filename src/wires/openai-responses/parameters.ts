import { z } from 'zod';
import { listOf, recordOf } from '../../list-of.ts';
import type { Parameter, Parameters } from '../parameter.ts';
import { routingSchema } from '../routing-options.ts';
import { checked } from '../fault.ts';
import { faultInInput } from './input-items.ts';
import { faultInToolChoice, faultInTools } from './tools.ts';

const free = (schema: z.ZodType): Parameter => ({ rule: 'free', schema: schema.nullish() });
const gateway = (schema: z.ZodType): Parameter => ({ rule: 'gateway', schema: schema.nullish() });
const REFUSED: Parameter = { rule: 'refused', schema: z.unknown() };

/** Some clients ask for the largest number that they know. */
const cap = z.number().refine(Number.isInteger, 'must be a whole number').min(1, 'must be at least 1');
const name = z.string().max(512);
const MOST_INCLUDED = 64;

const format = z
  .looseObject({ type: z.enum(['text', 'json_object', 'json_schema'], 'must be text, json_object or json_schema') })
  .superRefine((value, context) => {
    if (value.type !== 'json_schema') return;
    if (typeof value['name'] !== 'string') context.addIssue({ code: 'custom', path: ['name'], message: 'is required' });
    const { schema } = value;
    if (typeof schema !== 'object' || schema === null) context.addIssue({ code: 'custom', path: ['schema'], message: 'is required' });
  });

/**
 * Every top-level field of a request for a response (https://platform.openai.com/docs/api-reference/responses/create), and what Codex adds.
 * A field that is not here is refused by name.
 */
export const PARAMETERS: Parameters = new Map<string, Parameter>([
  ['input', { rule: 'free', schema: checked(faultInInput, { type: ['string', 'array'], items: { type: 'object' } }) }],
  ['instructions', free(z.string())],

  ['model', gateway(z.string().min(1).max(256))],
  ['routing', gateway(routingSchema)],
  ['stream', gateway(z.boolean())],
  ['stream_options', gateway(z.looseObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() }))],
  ['max_output_tokens', gateway(cap)],
  ['store', gateway(z.boolean())],
  // Labels of stored responses, and nothing is stored; Codex's are about its own sessions. Accepted, not sent.
  ['metadata', gateway(recordOf(z.string()))],
  ['client_metadata', gateway(recordOf(z.unknown()))],
  ['user', gateway(name)],
  ['safety_identifier', gateway(name)],
  ['prompt_cache_key', gateway(name)],

  ['include', free(listOf(z.string().max(128), { max: MOST_INCLUDED }))],
  // Calls of tools that run at the provider, of which none is offered.
  ['max_tool_calls', free(z.int().min(0))],
  ['parallel_tool_calls', free(z.boolean())],
  // Cache writes are dearer than input; the quote takes the dearest input rate.
  ['prompt_cache_options', free(z.looseObject({ ttl: z.literal('30m', 'only 30m has a known price').nullish() }))],
  ['prompt_cache_retention', free(z.enum(['in_memory', '24h']))],
  ['reasoning', free(reasoning())],
  // Other tiers of service have other prices.
  ['service_tier', free(z.enum(['auto', 'default'], 'must be auto or default'))],
  ['temperature', free(z.number())],
  ['text', free(z.looseObject({ format: format.nullish(), verbosity: z.string().nullish() }))],
  ['tool_choice', free(checked(faultInToolChoice, { type: ['string', 'object'] }))],
  ['tools', free(checked(faultInTools, { type: 'array', items: { type: 'object' } }))],
  ['top_logprobs', free(z.int().min(0))],
  ['top_p', free(z.number())],
  // `auto` lets the provider leave out what does not fit: that makes no request dearer.
  ['truncation', free(z.enum(['auto', 'disabled']))],

  // Priced by the call, or beyond the output cap.
  ['access_programs', REFUSED],
  ['context_management', REFUSED],
  ['image', REFUSED],
  ['moderation', REFUSED],
  // Name objects stored in the provider's account, which all tenants share.
  ['background', { ...REFUSED, harmless: false }],
  ['conversation', REFUSED],
  ['previous_response_id', REFUSED],
  ['prompt', REFUSED],
]);

/** Another mode than the standard one has another price. */
function reasoning(): z.ZodType {
  const text = z.string().max(64).nullish();
  const mode = z.literal('standard', 'only standard has a known price').nullish();
  return z.strictObject({ effort: text, summary: text, generate_summary: text, context: text, mode });
}
