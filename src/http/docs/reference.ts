import { isDeepStrictEqual } from 'node:util';
import { ERRORS, type ErrorCode } from '../../errors.ts';
import { errorsOf, TAGS, type Asker, type Operation, type Tag } from '../server/operation.ts';
import { curlOf } from './curl-example.ts';
import { codeBlock, renderInline } from './markdown.ts';
import { openApiPath, type OpenApiDocument } from './openapi-document.ts';
import { fieldsOfSchema, typeOf, type FieldRow, type JsonSchema } from './schema-rows.ts';

/** An operation as its group's page shows it. */
export interface ReferenceEntry {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  readonly description: readonly string[];
  readonly asker: string;
  /** The entry before, on the same page, that takes the same body and answers alike: its tables are not shown twice. */
  readonly sameAs: { readonly id: string; readonly path: string } | null;
  readonly parameters: readonly FieldRow[];
  readonly fields: readonly FieldRow[];
  readonly curl: string;
  readonly answers: readonly ReferenceAnswer[];
  readonly errors: readonly { readonly code: ErrorCode; readonly status: number }[];
}

export interface ReferenceAnswer {
  readonly status: string;
  readonly description: string;
  readonly mediaTypes: string;
  readonly fields: readonly FieldRow[];
  /** HTML. */
  readonly example: string | null;
}

const ASKERS: Readonly<Record<Asker, string>> = {
  anybody: 'Anybody may ask.',
  key: 'Needs a key.',
  owner: 'Needs an owner key.',
  session: 'For who has signed in to the console.',
  operator: 'For the operator.',
};

export interface Group {
  readonly tag: Tag;
  /** Its path below `/docs/api/`. */
  readonly name: string;
  readonly text: string;
  readonly operations: readonly Operation[];
}

/** The groups of the reference that have something in them. */
export function groupsOf(operations: readonly Operation[]): Group[] {
  return (Object.keys(TAGS) as Tag[])
    .map((tag) => ({
      tag,
      name: tag.toLowerCase(),
      text: TAGS[tag],
      operations: operations.filter((operation) => operation.tag === tag),
    }))
    .filter((group) => group.operations.length > 0);
}

/** What the page of a group shows, made from the document that programs get. Examples ask `origin`. */
export function referenceEntries(group: Group, document: OpenApiDocument, origin: string): ReferenceEntry[] {
  const first = new Map<unknown, Operation>();
  return group.operations.map((operation) => {
    const schema = operation.body?.content['application/json']?.schema;
    const before = schema && first.get(schema);
    if (schema && !before) first.set(schema, operation);
    const entry = entryOf(operation, document, origin);
    if (!before) return entry;
    const isAlike = Object.keys(operation.answers).every((status) =>
      isDeepStrictEqual(operation.answers[Number(status)], before.answers[Number(status)]),
    );
    return { ...entry, sameAs: before, parameters: [], fields: [], ...(isAlike && { answers: [] }) };
  });
}

interface Described {
  readonly parameters?: readonly unknown[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
}

type Content = Readonly<Record<string, { readonly schema?: JsonSchema; readonly example?: unknown }>>;

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema?: JsonSchema;
}

function entryOf(operation: Operation, document: OpenApiDocument, origin: string): ReferenceEntry {
  const { id, method, path, summary, description = '', asker } = operation;
  const told = document.paths?.[openApiPath(path)]?.[method] as Described | undefined;
  const parameters = (told?.parameters ?? []).map((parameter) => resolve(document, parameter));
  const [body] = Object.values(told?.requestBody?.content ?? {});
  return {
    ...{ id, method: method.toUpperCase(), path: openApiPath(path), summary },
    description: description.split('\n\n').filter(Boolean).map(renderInline),
    asker: ASKERS[asker],
    sameAs: null,
    parameters: parameters.map((parameter) => ({
      names: [parameter.name],
      type: `${parameter.in === 'query' ? 'query' : parameter.in === 'path' ? 'path' : 'header'}, ${typeOf(parameter.schema ?? {}, document)}`,
      required: parameter.required === true,
      text: renderInline(parameter.description ?? parameter.schema?.description ?? ''),
    })),
    fields: body?.schema ? fieldsOfSchema(body.schema, document) : [],
    curl: codeBlock(curlOf(operation, origin), `curl-${id}`),
    answers: Object.keys(operation.answers).map((status) => answerOf(status, id, operation, told, document)),
    errors: errorsOf(operation)
      .map((code) => ({ code, status: ERRORS[code].status }))
      .toSorted((a, b) => a.status - b.status),
  };
}

function answerOf(
  status: string,
  id: string,
  operation: Operation,
  told: Described | undefined,
  document: OpenApiDocument,
): ReferenceAnswer {
  const content = operation.answers[Number(status)]?.content ?? {};
  const schema = told?.responses[status]?.content?.['application/json']?.schema;
  const example = Object.values(content).find((each) => each.example !== undefined)?.example;
  const text = typeof example === 'string' ? example : example === undefined ? null : JSON.stringify(example, null, 2);
  return {
    status,
    description: renderInline(operation.answers[Number(status)]?.description ?? ''),
    mediaTypes: Object.keys(content).join(', '),
    fields: schema && content['application/json'] ? fieldsOfSchema(schema, document) : [],
    example: text === null ? null : codeBlock(text, `answer-${id}-${status}`),
  };
}

function resolve(document: OpenApiDocument, value: unknown): Parameter {
  const { $ref } = value as { $ref?: string };
  if ($ref === undefined) return value as Parameter;
  const found = $ref
    .slice(2)
    .split('/')
    .reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], document);
  return found as Parameter;
}
