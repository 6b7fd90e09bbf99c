import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { picoUsdFromUsd, type PicoUsd } from '../../amount.ts';
import type { Deployment } from '../../models/deployment.ts';
import { imagesOf, withoutImageData, type ChatMessage, type Images } from './messages.ts';
import { PARAMETERS, type Parameter, type routingSchema, type streamOptionsSchema } from './parameters.ts';
import { parseJson } from '../parse-json.ts';

/** How the client wants its request routed; null where it did not say. */
export interface Routing {
  readonly quality: 'high' | 'low' | null;
  readonly prefer: string | null;
  readonly maxCostPicoUsd: PicoUsd | null;
  readonly maxLatencyMs: number | null;
  readonly excludeProviders: readonly string[];
}

/** A validated chat-completions request, and the only way to its upstream body. */
export interface ChatRequest {
  /** As asked for; `auto` where none was. */
  readonly model: string;
  readonly stream: boolean;
  /** Whether the client asked for the usage chunk of a stream. */
  readonly includeUsage: boolean;
  readonly n: number;
  /** The client's own output cap in tokens; a model that gives less takes it as the most that it gives. */
  readonly outputCap: number | null;
  readonly routing: Routing;
  readonly messages: readonly ChatMessage[];
  readonly hasTools: boolean;
  readonly images: Images;
  /** Size of the body as received. */
  readonly bodyBytes: number;
  /** Fields without a rule, here because some deployment lets them through; only such a deployment may be called. */
  readonly unruledParameters: readonly string[];
  /** All that the model reads (messages, tools, schemas…) as JSON text, with images left out: those are counted apiece. */
  promptText(): string;
  /**
   * The body for `deployment`: the validated request with the upstream's model id, exactly one output cap, and usage
   * asked for on streams. Caps above what the model can take are lowered to it.
   * @param accountHash stands for the account wherever a client named its end user.
   */
  serialise(deployment: Deployment, outputTokens: number, accountHash: string): Buffer;
}

export interface ParseOptions {
  /** What `stream` means where it is absent. */
  streamDefault: boolean;
  /** Fields that the operator lets through to some deployment without a rule. */
  allowParameters?: ReadonlySet<string> | undefined;
}

type Fields = Record<string, unknown>;

/**
 * Reads a chat-completions request from its bytes. Throws GatewayError `invalid_request` or `unknown_parameter`, with
 * the field's dotted path in `param` (`messages.0.role`).
 */
export function parseChatRequest(body: Buffer, options: ParseOptions): ChatRequest {
  const { value: fields, verbatim } = parseJson(body);
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new GatewayError('invalid_request', { message: 'The body must be a JSON object.' });
  }
  return readFields({ fields: fields as Fields, verbatim: verbatim as Fields, bodyBytes: body.length }, options);
}

interface ReadBody {
  /** What the client sent, to be looked at, and the same to be passed on. */
  fields: Fields;
  verbatim: Fields;
  bodyBytes: number;
}

function readFields({ fields, verbatim, bodyBytes }: ReadBody, { streamDefault, allowParameters }: ParseOptions): ChatRequest {
  const passedOn: Fields = {};
  const unruledParameters: string[] = [];
  if (fields['messages'] === undefined || fields['messages'] === null)
    throw new GatewayError('invalid_request', { message: 'messages: is required', param: 'messages' });
  for (const [name, value] of Object.entries(fields)) {
    const parameter = PARAMETERS.get(name);
    if (value === null || saysNothing(value, parameter)) continue;
    if (!parameter || parameter.rule === 'refused') {
      if (!allowParameters?.has(name)) throw new GatewayError('unknown_parameter', { message: `${name} is not supported.`, param: name });
      unruledParameters.push(name);
      passedOn[name] = verbatim[name];
      continue;
    }
    const checked = parameter.schema.safeParse(value);
    if (!checked.success) throw refusal(name, checked.error);
    // What multiplies the bill goes upstream as it was counted.
    if (parameter.rule !== 'gateway') passedOn[name] = parameter.rule === 'multiplies' ? value : verbatim[name];
  }
  const messages = fields['messages'] as ChatMessage[];
  const images = imagesOf(messages);
  const streamOptions = fields['stream_options'] as z.infer<typeof streamOptionsSchema> | null | undefined;
  let rest: string | undefined;
  const restText = () => (rest ??= JSON.stringify(passedOn));
  return {
    model: (fields['model'] as string | null | undefined) ?? 'auto',
    stream: (fields['stream'] as boolean | null | undefined) ?? streamDefault,
    includeUsage: streamOptions?.include_usage === true,
    n: (fields['n'] as number | null | undefined) ?? 1,
    outputCap: outputCap(fields),
    routing: readRouting(fields['routing']),
    messages,
    hasTools: [fields['tools'], fields['functions']].some((tools) => Array.isArray(tools) && tools.length > 0),
    images,
    bodyBytes,
    unruledParameters,
    promptText: () =>
      images.count === 0 ? restText() : JSON.stringify({ ...passedOn, messages: withoutImageData(passedOn['messages'] as ChatMessage[]) }),
    serialise(deployment, outputTokens, accountHash) {
      const own = ownFields(verbatim, this.stream, deployment, outputTokens, accountHash);
      return Buffer.from(`${JSON.stringify(own).slice(0, -1)},${restText().slice(1)}`);
    },
  };
}

/** Whether a field that is refused asks for nothing: clients that send every field they know send it like that. */
function saysNothing(value: unknown, parameter: Parameter | undefined): boolean {
  return parameter?.rule === 'refused' && (value === parameter.harmless || (Array.isArray(value) && value.length === 0));
}

/** What the gateway itself decides of an upstream body. */
function ownFields(fields: Fields, stream: boolean, deployment: Deployment, outputTokens: number, accountHash: string): Fields {
  const own: Fields = {
    model: deployment.upstreamModel,
    [deployment.capField]: Math.min(outputTokens, deployment.maxOutputTokens),
  };
  if (stream) {
    own['stream'] = true;
    own['stream_options'] = { ...(fields['stream_options'] as Fields | null | undefined), include_usage: true };
  }
  // OpenAI may store by default; other servers may not know the field, so they see it only where the client sent it.
  if (deployment.provider.id === 'openai' || typeof fields['store'] === 'boolean') own['store'] = false;
  if (typeof fields['user'] === 'string') own['user'] = accountHash;
  if (typeof fields['safety_identifier'] === 'string') own['safety_identifier'] = accountHash;
  // Tenants share the provider's account: an account must not aim at another's cache.
  const cacheKey = fields['prompt_cache_key'];
  if (typeof cacheKey === 'string')
    own['prompt_cache_key'] = createHash('sha256').update(`${accountHash}\0${cacheKey}`).digest('base64url');
  return own;
}

function outputCap(fields: Fields): number | null {
  const older = fields['max_tokens'] as number | null | undefined;
  const newer = fields['max_completion_tokens'] as number | null | undefined;
  if (typeof older === 'number' && typeof newer === 'number' && older !== newer) {
    throw new GatewayError('invalid_request', {
      message: 'max_tokens and max_completion_tokens differ; send one of them.',
      param: 'max_tokens',
    });
  }
  return newer ?? older ?? null;
}

/** @param value as `PARAMETERS` has checked it. */
function readRouting(value: unknown): Routing {
  const routing = value as z.infer<typeof routingSchema> | null | undefined;
  return {
    quality: routing?.quality ?? null,
    prefer: routing?.prefer ?? null,
    maxCostPicoUsd: typeof routing?.maxCost === 'number' ? picoUsdFromUsd(routing.maxCost) : null,
    maxLatencyMs: routing?.maxLatency ?? null,
    excludeProviders: routing?.excludeProviders ?? [],
  };
}

function refusal(name: string, error: z.ZodError): GatewayError {
  const issue = error.issues[0];
  if (issue?.code === 'unrecognized_keys') {
    const param = [name, ...issue.path, issue.keys[0]].join('.');
    return new GatewayError('unknown_parameter', { message: `${param} is not supported.`, param });
  }
  const param = [name, ...(issue?.path ?? [])].join('.');
  return new GatewayError('invalid_request', { message: `${param}: ${issue?.message ?? 'is not valid'}`, param });
}
