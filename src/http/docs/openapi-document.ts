import { z } from 'zod';
import { createDocument, type CreateDocumentOptions, type ZodOpenApiOperationObject, type ZodOpenApiResponseObject } from 'zod-openapi';
import { ERRORS, type ErrorCode } from '../../errors.ts';
import { errorsOf, failsInHtml, TAGS, type Asker, type Content, type Operation } from '../server/operation.ts';
import { anthropicError, gatewayError, providerError } from './error-schemas.ts';
import { CHALLENGE_HEADERS, HEADERS_OF_ALL } from './inference-headers.ts';
import { tidy } from './json-shape.ts';

export type OpenApiDocument = ReturnType<typeof createDocument>;

const SECURITY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer', description: 'An API key: `Authorization: Bearer pura_…`.' },
  apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: "The same key, as Anthropic's clients send it." },
  l402: {
    type: 'apiKey',
    in: 'header',
    name: 'Authorization',
    description: '`L402 <token>:<preimage>`, both of a paid 402 (also `LSAT`). It stands for the key whose request was refused.',
  },
  payment: {
    type: 'apiKey',
    in: 'header',
    name: 'Authorization',
    description: '`Payment <credential>`, of the `Payment` challenge of a paid 402.',
  },
  x402: { type: 'apiKey', in: 'header', name: 'payment-signature', description: 'Of the `PAYMENT-REQUIRED` challenge of a paid 402.' },
  session: { type: 'apiKey', in: 'cookie', name: 'pura_session', description: 'Of a person who has signed in at the console.' },
  operator: { type: 'http', scheme: 'bearer', description: "The operator's `ADMIN_TOKEN`." },
} as const;

type Security = Record<string, string[]>[];
const OF_KEYS: Security = [{ bearer: [] }, { apiKey: [] }, { l402: [] }, { payment: [] }, { x402: [] }];
const SECURITY: Readonly<Record<Asker, Security>> = {
  anybody: [],
  key: OF_KEYS,
  owner: OF_KEYS,
  session: [{ session: [] }],
  operator: [{ operator: [] }],
};

const ABOUT = `A Lightning-metered gateway in front of LLM providers. Each request is charged what it cost, in millisatoshi.

Make a key with \`POST /api/keys\` (no sign-up), or ask under \`/l402/v1\` without one and pay the 402's invoice.`;

/** All operations as an OpenAPI 3.1 document, but for its servers. */
export function openApiDocument(operations: readonly Operation[], version: string): OpenApiDocument {
  const tags = Object.entries(TAGS)
    .filter(([name]) => operations.some(({ tag }) => tag === name))
    .map(([name, description]) => ({ name, description }));
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const operation of operations) (paths[openApiPath(operation.path)] ??= {})[operation.method] = operationObject(operation);
  return createDocument(
    {
      openapi: '3.1.1',
      info: { title: 'Pura', version, description: ABOUT, license: { name: 'MIT', identifier: 'MIT' } },
      tags,
      paths,
      components: { securitySchemes: SECURITY_SCHEMES, examples: errorExamples(operations) },
    },
    OPTIONS,
  );
}

/** A path as OpenAPI writes it. */
export function openApiPath(path: string): string {
  return path.replaceAll(/[:*](\w+)/g, '{$1}');
}

const OPTIONS: CreateDocumentOptions = {
  override({ jsonSchema, zodSchema, io }) {
    tidy(jsonSchema, zodSchema, io);
    // What an answer may grow by later is no fault of it.
    if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  },
};

function operationObject(operation: Operation): ZodOpenApiOperationObject {
  const { id, tag, summary, description, asker, query, headers, body } = operation;
  const path = pathParams(operation);
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    // Nobody's, or a key's: both are taken.
    security: id === 'createKey' ? [{}, ...OF_KEYS] : operation.path.startsWith('/l402/') ? [{}, ...OF_KEYS] : SECURITY[asker],
    requestParams: { ...(path && { path }), ...(query && { query }), ...(headers && { header: headers }) },
    ...(body && { requestBody: { required: body.optional !== true, content: contentObjects(body.content) } }),
    responses: { ...(asker === 'session' && { 303: SIGN_IN_FIRST }), ...answerObjects(operation), ...errorObjects(operation) },
  };
}

const SIGN_IN_FIRST: ZodOpenApiResponseObject = { description: 'Nobody is signed in: sent to the sign-in page.' };

/** Every parameter that the path names, with what is told of it. */
function pathParams({ path, params }: Operation): z.ZodObject | undefined {
  const names = [...path.matchAll(/[:*](\w+)/g)].map(([, name = '']) => name);
  if (names.length === 0) return undefined;
  return z.object(Object.fromEntries(names.map((name) => [name, (params?.shape[name] as z.ZodType | undefined) ?? z.string()])));
}

function answerObjects({ answers, errors, asker, body }: Operation): Record<string, ZodOpenApiResponseObject> {
  const statuses = new Set(errorsOf({ errors, asker, body }).map((code) => ERRORS[code].status));
  return Object.fromEntries(
    Object.entries(answers)
      // An answer that is no error may share an error's status: both are told there then.
      .filter(([status]) => !statuses.has(Number(status)))
      .map(([status, { description, headers, content }]) => [
        status,
        { description, headers: headers ?? HEADERS_OF_ALL, ...(content && { content: contentObjects(content) }) },
      ]),
  );
}

function errorObjects(operation: Operation): Record<string, ZodOpenApiResponseObject> {
  const byStatus = Map.groupBy(errorsOf(operation), (code) => String(ERRORS[code].status));
  for (const status of operation.tag === 'Inference' ? PASSED_ON : []) if (!byStatus.has(status)) byStatus.set(status, []);
  return Object.fromEntries([...byStatus].map(([status, codes]) => [status, errorObject(operation, Number(status), codes)]));
}

/** Whether an operation's errors are in Anthropic's words. */
export function speaksAnthropic({ path }: Pick<Operation, 'path'>): boolean {
  return /\/v1\/messages(\/|$)/.test(path);
}

/** What a provider says of a request that it will not take, or of the caller's own key, is passed on with its status. */
const PASSED_ON = ['400', '401', '402', '403', '404', '413', '422', '429', '451'];

function errorObject(operation: Operation, status: number, codes: readonly ErrorCode[]): ZodOpenApiResponseObject {
  if (failsInHtml(operation))
    return { description: errorText(codes), headers: HEADERS_OF_ALL, content: { 'text/html': { schema: z.string() } } };
  const own = speaksAnthropic(operation) ? anthropicError : gatewayError;
  const other = operation.answers[status];
  const passedOn = operation.tag === 'Inference' && PASSED_ON.includes(String(status));
  const schemas = [own, ...(passedOn ? [providerError] : []), ...jsonSchemasOf(other?.content)];
  const [first, second, ...rest] = schemas;
  const schema = first && second ? z.union([first, second, ...rest]) : own;
  const examples = Object.fromEntries(
    codes.map((code) => [code, { $ref: `#/components/examples/${exampleName(code, own === anthropicError)}` }]),
  );
  return {
    description: [
      ...(other ? [other.description] : []),
      errorText(codes),
      ...(passedOn ? ["Or the provider's own word for what is wrong."] : []),
    ].join('\n\n'),
    headers: status === 402 ? HEADERS_OF_ALL.extend(CHALLENGE_HEADERS.shape) : status === 429 || status === 503 ? RETRY : HEADERS_OF_ALL,
    content: {
      ...(other?.content && contentObjects(other.content)),
      // To browsers, who ask for it.
      ...(operation.tag === 'Pages' && { 'text/html': { schema: z.string() } }),
      'application/json': { schema, ...(codes.length > 0 && { examples }) },
    },
  };
}

function errorText(codes: readonly ErrorCode[]): string {
  return codes.map((code) => `\`${code}\``).join(', ');
}

const RETRY = HEADERS_OF_ALL.extend({ 'Retry-After': z.string().optional().meta({ description: 'Seconds, at least 1.', example: '1' }) });

function jsonSchemasOf(content: Readonly<Record<string, Content>> | undefined): z.ZodType[] {
  const schema = content?.['application/json']?.schema;
  return schema ? [schema] : [];
}

/** One example of each error, in each wire's words that has it, told once. */
function errorExamples(operations: readonly Operation[]): Record<string, { summary: string; value: object }> {
  const inAnthropics = operations.filter(speaksAnthropic).flatMap(errorsOf);
  const example = (code: ErrorCode, isAnthropic: boolean) => {
    const { type, message } = ERRORS[code];
    const error = { message, type, code, param: null };
    const value = isAnthropic ? { type: 'error', error, request_id: '019a7c1e-3b2f-7c44-9d1f-5a7b9e2d4c10' } : { error };
    return [exampleName(code, isAnthropic), { summary: message, value }] as const;
  };
  const codes = Object.keys(ERRORS) as ErrorCode[];
  return Object.fromEntries([...codes.map((code) => example(code, false)), ...inAnthropics.map((code) => example(code, true))]);
}

const exampleName = (code: ErrorCode, isAnthropic: boolean) => (isAnthropic ? `anthropic.${code}` : code);

function contentObjects(content: Readonly<Record<string, Content>>) {
  return Object.fromEntries(
    Object.entries(content).map(([mediaType, { schema, example }]) => [mediaType, { schema, ...(example !== undefined && { example }) }]),
  );
}
