import { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { listOf } from '../../list-of.ts';
import { at, checked, fault, type Check } from '../fault.ts';
import { isObject, textIn } from '../json-object.ts';
import type { Parameter, Parameters } from '../parameter.ts';
import { routingSchema } from '../routing-options.ts';
import { cacheControl, checkMessages, checkSystem } from './blocks.ts';
import { checkTools } from './client-tools.ts';
import { aText, anObject, EXTRA, listOfAll, objectOf, oneOf, optional } from './checks.ts';

const free = (check: Check, shape: object): Parameter => ({ rule: 'free', schema: checked(check, shape) });
const OBJECT = { type: 'object' };
const OBJECTS = { type: 'array', items: OBJECT };
const TEXT_OR_BLOCKS = { type: ['string', 'array'], items: OBJECT };
const MESSAGES = {
  type: 'array',
  minItems: 1,
  items: { type: 'object', required: ['role', 'content'], properties: { role: { type: 'string' }, content: TEXT_OR_BLOCKS } },
};
const number: Parameter = { rule: 'free', schema: z.number() };
const gateway = (schema: z.ZodType): Parameter => ({ rule: 'gateway', schema });
const REFUSED: Parameter = { rule: 'refused', schema: z.unknown() };

const MOST_EDITS = 64;
const cap = z.number().refine(Number.isInteger, 'must be a whole number').min(1, 'must be at least 1');
const flag: Check = optional((value) => (typeof value === 'boolean' ? null : fault('must be true or false')));
const format = objectOf({ type: oneOf('json_schema'), schema: anObject });

const toolChoice: Check = (value) => {
  const found = objectOf({ type: oneOf('auto', 'any', 'tool', 'none'), disable_parallel_tool_use: flag })(value);
  if (found || !isObject(value) || value['type'] !== 'tool') return found;
  return at('name', aText(value['name']));
};

const thinking: Check = (value) => {
  const found = objectOf({ type: oneOf('enabled', 'adaptive', 'disabled', 'between_tools'), display: optional(aText) })(value);
  if (found || !isObject(value) || value['type'] !== 'enabled') return found;
  const { budget_tokens: budget } = value;
  return Number.isInteger(budget) && (budget as number) >= 1024 ? null : fault('must be a whole number of at least 1024', 'budget_tokens');
};

/** To clear what is old out of a conversation costs nothing. To have it summarised would. */
const contextManagement: Check = (value) => {
  const edits = objectOf({ edits: optional(listOfAll(objectOf({ type: aText }), MOST_EDITS)) }, { closed: true })(value);
  if (edits) return edits;
  const listed = isObject(value) && Array.isArray(value['edits']) ? (value['edits'] as { type: string }[]) : [];
  // Clients know this wording alone, and go on without the field.
  return listed.every(({ type }) => type.startsWith('clear_')) ? null : fault(EXTRA);
};

/**
 * Every top-level field of the Messages API (https://docs.anthropic.com/en/api/messages), and what it means for the bill. A field that is
 * not here is refused by name.
 */
export const PARAMETERS: Parameters = new Map<string, Parameter>([
  ['messages', free(checkMessages, MESSAGES)],
  ['system', free(checkSystem, TEXT_OR_BLOCKS)],
  ['tools', free(checkTools, OBJECTS)],
  ['tool_choice', free(toolChoice, OBJECT)],
  ['thinking', free(thinking, OBJECT)],
  [
    'output_config',
    free(objectOf({ effort: optional(aText), format: optional(format), task_budget: optional(anObject) }, { closed: true }), OBJECT),
  ],
  // The older name of `output_config.format`.
  ['output_format', free(format, OBJECT)],
  ['context_management', free(contextManagement, OBJECT)],
  ['cache_control', free(cacheControl, OBJECT)],
  ['stop_sequences', { rule: 'free', schema: listOf(z.string(), { max: 8192 }) }],
  ['temperature', number],
  ['top_p', number],
  ['top_k', number],

  ['model', gateway(z.string().min(1).max(256))],
  ['routing', gateway(routingSchema)],
  ['stream', gateway(z.boolean())],
  ['max_tokens', gateway(cap)],
  ['metadata', gateway(checked(objectOf({ user_id: optional(aText) }, { closed: true }), OBJECT))],
  // Priority has its own price: the usual tier is asked for.
  ['service_tier', gateway(z.enum(['auto', 'standard_only'], 'must be auto or standard_only'))],

  // Priced by the call, dearer, or by another model.
  ['fallbacks', REFUSED],
  ['inference_geo', { ...REFUSED, harmless: 'global' }],
  ['mcp_servers', REFUSED],
  ['speed', { ...REFUSED, harmless: 'standard' }],
  // Name objects stored in the provider's account, which all tenants share.
  ['container', REFUSED],
  ['thread', REFUSED],
]);

/** The refusal of a field, in the API's words. The clients' tool runners send the whole history once they are told about `thread` like that. */
export function refuse(name: string): GatewayError {
  const details = { error_code: 'thread_unsupported_request', unsupported: ['thread'] };
  return new GatewayError('unknown_parameter', {
    message: `${name}: ${EXTRA}`,
    param: name,
    ...(name === 'thread' && { fields: { details } }),
  });
}

/** Text that a member may hold as a string, or as blocks. */
export function blocksIn(content: unknown): readonly Record<string, unknown>[] {
  if (Array.isArray(content)) return content as Record<string, unknown>[];
  return textIn(content) === '' ? [] : [{ type: 'text', text: content }];
}
