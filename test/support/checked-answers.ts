import { afterAll, afterEach } from '@jest/globals';
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import { anthropicError, gatewayError, providerError } from '../../src/http/docs/error-schemas.ts';
import { CHALLENGE_HEADERS, INFERENCE_HEADERS } from '../../src/http/docs/inference-headers.ts';
import { speaksAnthropic } from '../../src/http/docs/openapi-document.ts';
import { errorsOf, failsInHtml, type Operation } from '../../src/http/server/operation.ts';
import { OPERATIONS } from '../../src/routes.ts';
import { ANSWERS_VARIABLE } from './answers-told.ts';

/**
 * Whatever a gateway answers to `fetch` in a test is compared with the route table: its status, its media type, its own headers, and JSON bodies
 * with the schemas that `/openapi.json` is made from. An answer that is not described fails the test that got it.
 */

interface Row {
  readonly operation: Operation;
  readonly pattern: RegExp;
}

const rows: readonly Row[] = OPERATIONS.map((operation) => ({ operation, pattern: patternOf(operation.path) }));
const methodsAt = (pathname: string) => rows.filter(({ pattern }) => pattern.test(pathname));

const checked = new Map<string, number>();
const odd: string[] = [];
const open = new Set<Promise<void>>();

/** As it is before a test watches it. */
const parse = JSON.parse.bind(JSON) as (text: string) => unknown;
const plainFetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const response = await plainFetch(input, init);
  if (response.headers.has('x-pura-request-id') && !response.redirected) {
    const method = init?.method ?? (input instanceof Request ? input.method : 'GET');
    const check = compare(method.toUpperCase(), new URL(response.url).pathname.replaceAll(/\/{2,}/g, '/'), response);
    open.add(check);
    void check.finally(() => open.delete(check));
  }
  return response;
};

afterEach(async () => {
  await Promise.all(open);
  const found = [...new Set(odd.splice(0))];
  if (found.length > 0) throw new Error(`answers that are not described:\n${found.join('\n')}`);
});

afterAll(() => {
  const directory = process.env[ANSWERS_VARIABLE];
  if (directory === undefined || checked.size === 0) return;
  appendFileSync(path.join(directory, String(process.pid)), `${JSON.stringify(Object.fromEntries(checked))}\n`);
});

/** Looks at an answer beside its reader. */
async function compare(method: string, pathname: string, response: Response): Promise<void> {
  const { status, headers } = response;
  const type = headers.get('content-type')?.split(';', 1)[0] ?? '';
  const isJson = type === 'application/json' && method !== 'HEAD';
  const { operation } =
    methodsAt(pathname).find((row) => row.operation.method.toUpperCase() === (method === 'HEAD' ? 'GET' : method)) ?? {};
  const text = isJson
    ? await response
        .clone()
        .text()
        .catch(() => null)
    : '';
  // Its reader left.
  if (text === null) return;
  const body: unknown = isJson && text !== '' ? parse(text) : undefined;
  const fault = operation ? faultOf(operation, { status, type, headers, body }) : faultOfNoRoute(method, pathname, { status, body });
  const name = operation?.id ?? 'none';
  checked.set(name, (checked.get(name) ?? 0) + 1);
  if (fault !== null) odd.push(`${method} ${pathname} ${status} ${type}: ${fault}\n${text.slice(0, 2_000)}`);
}

interface Answered {
  readonly status: number;
  readonly type: string;
  readonly headers: Headers;
  readonly body: unknown;
}

/** What is not as the operation says; null where all is. */
export function faultOf(operation: Operation, { status, type, headers, body }: Answered): string | null {
  const undescribed = [...headers.keys()].filter((name) => name.startsWith('x-pura-') && !OWN_HEADERS.has(name));
  if (undescribed.length > 0) return `no header ${undescribed.join(', ')} is described`;
  const described = operation.answers[status];
  if (described && (type === '' || described.content?.[type])) {
    const schema = type === 'application/json' ? described.content?.[type]?.schema : undefined;
    if (!schema || body === undefined) return null;
    const { error } = schema.safeParse(body);
    if (!error) return null;
    // An error may share its status.
    if (faultOfError(operation, status, body) !== null) return error.message;
    return null;
  }
  const isPage = failsInHtml(operation);
  if (isPage && type === 'text/html' && status >= 400) return null;
  if (operation.tag === 'Pages' && type === 'text/html' && status >= 400) return null;
  // A browser is sent on: the few words that go with it are Express's.
  if (status === 303 && operation.answers[303]) return null;
  if (operation.tag === 'Inference' && headers.has('x-pura-provider') && status >= 400) {
    return body === undefined || providerError.safeParse(body).success ? null : 'not the error object of a provider';
  }
  if (type !== 'application/json') return `no answer of ${type} is described`;
  return body === undefined ? null : faultOfError(operation, status, body);
}

const OWN_HEADERS = new Set(
  [...Object.keys(INFERENCE_HEADERS.shape), ...Object.keys(CHALLENGE_HEADERS.shape)].map((name) => name.toLowerCase()),
);

function faultOfError(operation: Operation, status: number, body: unknown): string | null {
  const schema = speaksAnthropic(operation) ? anthropicError : gatewayError;
  const parsed = schema.safeParse(body);
  if (!parsed.success) return parsed.error.message;
  const { code } = parsed.data.error;
  if (ERRORS[code].status !== status) return `${code} is none of ${status}`;
  return errorsOf(operation).includes(code) ? null : `${code} is no error of ${operation.id}`;
}

const OF_NO_ROUTE: readonly ErrorCode[] = ['not_found', 'method_not_allowed', 'upgrade_required', 'invalid_request'];

function faultOfNoRoute(method: string, pathname: string, { status, body }: Pick<Answered, 'status' | 'body'>): string | null {
  if (method === 'OPTIONS' && status === 204) return null;
  if (body === undefined) return null;
  const schema = speaksAnthropic({ path: pathname }) ? anthropicError : gatewayError;
  const parsed = schema.safeParse(body);
  if (!parsed.success) return parsed.error.message;
  return OF_NO_ROUTE.includes(parsed.data.error.code) ? null : `${parsed.data.error.code} where there is no route`;
}

function patternOf(route: string): RegExp {
  const source = route.replaceAll(/[.]/g, '\\.').replaceAll(/:\w+/g, '[^/]+').replaceAll(/\*\w+/g, '.+');
  return new RegExp(`^${source}/?$`);
}
