import { GatewayError, type ErrorType } from '../errors.ts';
import type { ErrorObject } from '../wires/wire.ts';

/** What a provider's error body says, whatever its dialect. A member is absent where the body has none. */
export interface ProviderReason {
  readonly message: string;
  readonly type?: string;
  readonly code?: string | number;
  readonly param?: string;
}

/** Longer messages of another dialect are cut. */
const MOST_CHARACTERS = 500;
/** Error objects beyond this are taken apart too. */
const MOST_PASSED_CHARACTERS = 16_384;
/** Deeper than any dialect puts its message. */
const MOST_DEPTH = 6;
/** Where the dialects put their message, or what holds it: OpenAI, vLLM, FastAPI, Ollama, TGI, RFC 9457, Apigee, AWS. */
const HOLDERS = [
  'error',
  'message',
  'detail',
  'msg',
  'errors',
  'error_message',
  'error_description',
  'title',
  'fault',
  'faultstring',
  'Message',
];
const TYPES = ['type', 'error_type', 'status', '__type'];
const CODES = ['code', 'error_code'];

/** Google's canonical statuses (https://cloud.google.com/apis/design/errors), as the types of OpenAI's and Anthropic's clients. */
const TYPES_OF_STATUSES: ReadonlyMap<string, ErrorType> = new Map([
  ['INVALID_ARGUMENT', 'invalid_request_error'],
  ['FAILED_PRECONDITION', 'invalid_request_error'],
  ['OUT_OF_RANGE', 'invalid_request_error'],
  ['NOT_FOUND', 'invalid_request_error'],
  ['UNAUTHENTICATED', 'authentication_error'],
  ['PERMISSION_DENIED', 'permission_error'],
  ['RESOURCE_EXHAUSTED', 'rate_limit_error'],
  ['CANCELLED', 'api_error'],
  ['DEADLINE_EXCEEDED', 'api_error'],
  ['INTERNAL', 'api_error'],
  ['UNAVAILABLE', 'api_error'],
  ['UNKNOWN', 'api_error'],
]);

type Members = Record<string, unknown>;

/**
 * A provider's refusal as an OpenAI error object. `isWhole` where its body is an error object already; of any other shape (vLLM's object,
 * FastAPI's detail, a list, text, HTML) the message is taken, and what else of an error object it has.
 * @param mayBeWhole false where the provider's wire has error objects of another shape than the client's.
 */
export function refusalError(status: number, text: string, mayBeWhole = true): { error: ErrorObject; isWhole: boolean } {
  const whole = mayBeWhole && text.length <= MOST_PASSED_CHARACTERS ? parsed(text) : undefined;
  if (isErrorObject(whole)) return { error: whole, isWhole: true };
  const ours = new GatewayError('invalid_request', { message: `The provider refused the request (HTTP ${status}).` });
  const error = inItsWords(ours, providerReason(text));
  return { error: mayBeWhole ? error : inCommonWords(error), isWhole: false };
}

/**
 * The failure that a provider tells of in the middle of a stream, whatever its dialect: its own words, where it has any.
 * @param isOfOneShape whether the provider's wire has error objects of the same shape as the client's.
 * @param censor leaves out of them what no client may see.
 */
export function streamFailure(failure: unknown, isOfOneShape: boolean, censor: (text: string) => string): ErrorObject {
  const ours = new GatewayError('upstream_error', { message: 'The provider broke off its answer.' });
  const reason = failureReason(failure);
  const error = inItsWords(ours, reason && { ...reason, message: censor(reason.message) });
  return isOfOneShape ? error : inCommonWords(error);
}

/** The reason that a failure gives which came as a value; null where it gives none. */
export function failureReason(failure: unknown): ProviderReason | null {
  return reasonIn(failure, MOST_DEPTH);
}

function inItsWords(ours: GatewayError, reason: ProviderReason | null): ErrorObject {
  return { error: { ...ours.toJSON().error, ...reason } };
}

/** Labels that clients of another wire can read: a type that they know in place of Google's status, and a code that is text. */
function inCommonWords({ error }: ErrorObject): ErrorObject {
  const { type, code } = error;
  const known = typeof type === 'string' ? TYPES_OF_STATUSES.get(type) : undefined;
  if (known !== undefined) return { error: { ...error, type: known, code: type } };
  return { error: { ...error, code: typeof code === 'number' ? String(code) : code } };
}

/** The reason that an error body gives; null where it gives none that could be read. */
export function providerReason(text: string): ProviderReason | null {
  const whole = parsed(text);
  const value = whole === undefined ? parsed(/^data:(.*)$/m.exec(text)?.[1] ?? '') : whole;
  return value === undefined ? reasonOf(plainText(text)) : reasonIn(value, MOST_DEPTH);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isErrorObject(value: unknown): value is ErrorObject {
  const error = isMembers(value) ? value['error'] : undefined;
  return isMembers(error) && typeof error['message'] === 'string' && error['message'] !== '';
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function reasonIn(value: unknown, depthLeft: number): ProviderReason | null {
  if (typeof value === 'string') return reasonOf(plainText(value));
  if (depthLeft === 0 || typeof value !== 'object' || value === null) return null;
  if (Array.isArray(value)) return reasonIn(value[0], depthLeft - 1);
  for (const holder of HOLDERS) {
    const inner = reasonIn((value as Members)[holder], depthLeft - 1);
    if (inner) return withLabels(inner, value as Members);
  }
  return null;
}

/** The labels nearest to the message count. */
function withLabels(inner: ProviderReason, around: Members): ProviderReason {
  const type = TYPES.map((name) => around[name]).find((label) => typeof label === 'string' && label !== '');
  const code = CODES.map((name) => around[name]).find((label) => typeof label === 'string' || typeof label === 'number');
  const place = placeOf(around['loc']);
  const param = typeof around['param'] === 'string' ? around['param'] : place;
  return {
    ...(typeof type === 'string' && { type: cut(type) }),
    ...(code !== undefined && { code: typeof code === 'string' ? cut(code) : code }),
    ...(param !== undefined && { param: cut(param) }),
    ...inner,
    ...(place !== undefined && { message: cut(`${place}: ${inner.message}`) }),
  };
}

/** The field that FastAPI names: `["body", "messages", 0, "content"]` is `messages.0.content`. */
function placeOf(loc: unknown): string | undefined {
  if (!Array.isArray(loc)) return undefined;
  const path = loc.filter((step, index) => (typeof step === 'string' || typeof step === 'number') && !(index === 0 && step === 'body'));
  return path.length > 0 ? path.join('.') : undefined;
}

function reasonOf(message: string): ProviderReason | null {
  return message === '' ? null : { message };
}

/** Text as one can read it: without the tags of a page, and nothing where it is no text. */
function plainText(text: string): string {
  if (/[\0\ufffd]/.test(text)) return '';
  const isPage = /^\s*<(?:!doctype|html|head|body|\?xml|h1|p|center)\b/i.test(text);
  const words = isPage ? text.slice(0, MOST_PASSED_CHARACTERS).replace(/<(script|style)\b.*?(?:<\/\1>|$)|<[^>]*(?:>|$)/gis, ' ') : text;
  return cut(words.slice(0, MOST_PASSED_CHARACTERS).replace(/\s+/g, ' ').trim());
}

function cut(text: string): string {
  return text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS - 1).toWellFormed()}…`;
}
