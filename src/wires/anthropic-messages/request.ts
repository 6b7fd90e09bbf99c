import { once } from '../once.ts';
import { GatewayError } from '../../errors.ts';
import { listIn, textIn } from '../json-object.ts';
import { readFields, type CheckedFields } from '../parameter.ts';
import type { InferenceRequest, ParseOptions, ReadBody } from '../request.ts';
import { readRouting } from '../routing-options.ts';
import type { JsonObject } from '../wire.ts';
import { readBetas } from './betas.ts';
import { isHosted } from './client-tools.ts';
import { factsOf, mediaOf } from './conversation.ts';
import { REQUIRED } from './checks.ts';
import { generationOf } from './generation.ts';
import { PARAMETERS, refuse } from './parameters.ts';

interface Required {
  /** A request that is only counted needs no cap. */
  readonly needsCap: boolean;
}

/** Reads a request of the Messages API. Throws GatewayError in the API's words, naming the field. */
export function parseMessages(body: ReadBody, options: ParseOptions, { needsCap }: Required = { needsCap: true }): InferenceRequest {
  const checked = readFields(body, PARAMETERS, { allowParameters: options.allowParameters, refuse });
  for (const name of needsCap ? ['max_tokens', 'messages'] : ['messages']) {
    if ((body.fields[name] ?? null) === null) throw new GatewayError('invalid_request', { message: `${name}: ${REQUIRED}`, param: name });
  }
  const { fields, hosted } = withoutHostedTools(checked);
  const { model, stream, max_tokens: cap, routing, metadata } = checked.own;
  const betas = readBetas(options.headers?.['anthropic-beta']);
  const own = { ...(metadata !== undefined && { metadata }), ...(betas.length > 0 && { betas }), ...(hosted.length > 0 && { hosted }) };
  return {
    wire: 'anthropic-messages',
    operation: 'generate',
    model: (model as string | undefined) ?? 'auto',
    stream: (stream as boolean | undefined) ?? options.streamDefault,
    // Every stream of this wire ends with its usage.
    includeUsage: true,
    completions: 1,
    outputCap: (cap as number | undefined) ?? null,
    routing: readRouting(routing),
    unruled: checked.unruled,
    fields,
    extras: {},
    own,
    media: mediaOf(fields['messages']),
    bodyBytes: body.bodyBytes,
    facts: () => factsOf(fields),
    generation: once(() => generationOf(fields, body.fields, own)),
    embedding() {
      throw new Error('a message has nothing to embed');
    },
  };
}

/**
 * The fields without the tools that would run at the provider, at a price that nobody knows: those that are only offered are left out, and
 * named. One that the model has to call is refused. Tools that only a hosted search could find are offered outright.
 */
function withoutHostedTools({ fields }: CheckedFields): { fields: JsonObject; hosted: string[] } {
  const tools = listIn(fields['tools']) as readonly JsonObject[];
  const left = tools.filter(isHosted);
  if (left.length === 0) return { fields, hosted: [] };
  const hosted = [...new Set(left.map(({ type }) => textIn(type)))];
  const searchesTools = hosted.some((type) => type.startsWith('tool_search_'));
  const kept = tools
    .filter((tool) => !isHosted(tool))
    .map((tool) => (searchesTools && tool['defer_loading'] !== undefined ? { ...tool, defer_loading: false } : tool));
  const choice = (fields['tool_choice'] ?? {}) as JsonObject;
  const isForced =
    choice['type'] === 'tool' ? !kept.some(({ name }) => name === choice['name']) : choice['type'] === 'any' && kept.length === 0;
  if (isForced) {
    const message = `tool_choice: ${hosted[0] ?? ''} runs at the provider, which is not supported`;
    throw new GatewayError('invalid_request', { message, param: 'tool_choice' });
  }
  const { tools: _tools, tool_choice: _choice, ...others } = fields;
  return { fields: kept.length > 0 ? { ...fields, tools: kept } : others, hosted };
}
