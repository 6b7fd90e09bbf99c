import type { JsonObject } from '../wire.ts';

/** What the API knows of JSON Schema: https://ai.google.dev/gemini-api/docs/structured-output. Any other member is refused. */
const KNOWN = new Set([
  ...['type', 'format', 'title', 'description', 'enum', 'minimum', 'maximum', 'minItems', 'maxItems', 'required', 'propertyOrdering'],
  ...['$id', '$anchor', '$ref', '$defs', 'items', 'prefixItems', 'anyOf', 'oneOf', 'properties', 'additionalProperties'],
]);
/** Members that hold schemas: one, a list of them, or one under each name. */
const ONE = new Set(['items', 'additionalProperties']);
const LISTS = new Set(['prefixItems', 'anyOf', 'oneOf']);
const NAMED = new Set(['properties', '$defs']);
/** Members that constrain nothing. */
const REMARKS = new Set(['$schema', '$comment', '$vocabulary', 'examples', 'example', 'deprecated', 'readOnly', 'writeOnly']);

const isSchema = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The schema of a tool's parameters, which are an object. */
export function parametersSchema(schema: JsonObject): JsonObject {
  const cleaned = geminiSchema(schema);
  return ['type', '$ref', 'anyOf', 'oneOf'].some((name) => cleaned[name] !== undefined) ? cleaned : { type: 'object', ...cleaned };
}

/**
 * A JSON schema in what the API knows of it. What can be said in other words is (`const`, `allOf`, `nullable`, `definitions`); what
 * cannot is told in the description, so that the model still reads it.
 */
export function geminiSchema(schema: JsonObject): JsonObject {
  const { words, untold } = inKnownWords(schema);
  const cleaned: JsonObject = {};
  for (const [name, value] of Object.entries(words)) {
    if (KNOWN.has(name)) cleaned[name] = cleanedMember(name, value);
    else if (!REMARKS.has(name)) untold[name] = value;
  }
  if (cleaned['type'] === 'array' && cleaned['items'] === undefined && cleaned['prefixItems'] === undefined) cleaned['items'] = {};
  if (Object.keys(untold).length > 0) cleaned['description'] = withUntold(cleaned['description'], untold);
  return withLoneReference(cleaned);
}

/** Beside a reference nothing may stand but members with a `$`. */
function withLoneReference(schema: JsonObject): JsonObject {
  const { $ref, ...rest } = schema;
  if ($ref === undefined || Object.keys(rest).every((name) => name.startsWith('$'))) return schema;
  if (rest['anyOf'] === undefined) return { ...rest, anyOf: [{ $ref }] };
  return { ...rest, description: withUntold(rest['description'], { $ref }) };
}

function withUntold(description: unknown, untold: JsonObject): string {
  const rule = `JSON Schema: ${JSON.stringify(untold)}`;
  return typeof description === 'string' && description !== '' ? `${description}\n${rule}` : rule;
}

function cleanedMember(name: string, value: unknown): unknown {
  if (name === '$ref') return typeof value === 'string' ? value.replace('#/definitions/', '#/$defs/') : value;
  if (ONE.has(name)) return name === 'additionalProperties' && typeof value === 'boolean' ? value : cleanedSchema(value);
  if (LISTS.has(name)) return Array.isArray(value) ? value.map(cleanedSchema) : [];
  if (!NAMED.has(name)) return value;
  return Object.fromEntries(Object.entries(isSchema(value) ? value : {}).map(([key, inner]) => [key, cleanedSchema(inner)]));
}

/** `true` allows anything, as a schema that says nothing does. `false` allows nothing, for which there is no word but the description. */
function cleanedSchema(value: unknown): JsonObject {
  if (isSchema(value)) return geminiSchema(value);
  return value === false ? { description: withUntold('', { not: {} }) } : {};
}

/** A schema, and what of it there are no words for. */
interface Reworded {
  words: JsonObject;
  untold: JsonObject;
}

/** The same schema with those members reworded for which the API has other words. */
function inKnownWords(schema: JsonObject): Reworded {
  const { allOf, const: constant, definitions, nullable, items, ...rest } = schema;
  let reworded: Reworded = { words: rest, untold: {} };
  if (Array.isArray(items)) rest['prefixItems'] = items;
  else if (items !== undefined) rest['items'] = items;
  if (Object.hasOwn(schema, 'const')) rest['enum'] = [constant];
  if (isSchema(definitions)) rest['$defs'] = { ...definitions, ...(isSchema(rest['$defs']) && rest['$defs']) };
  if (nullable === true && typeof rest['type'] === 'string') rest['type'] = [rest['type'], 'null'];
  if (Array.isArray(rest['enum'])) rewordEnum(reworded, rest['enum']);
  if (Array.isArray(allOf)) for (const one of allOf.filter(isSchema)) reworded = bothOf(reworded, inKnownWords(one));
  return reworded;
}

/** Texts and numbers may be listed. Of other values null is a type; the rest is left to its type, and told. */
function rewordEnum({ words, untold }: Reworded, values: readonly unknown[]): void {
  const listed = values.filter((value) => typeof value === 'string' || typeof value === 'number');
  if (listed.length === values.length) return;
  const type = words['type'];
  const given: unknown[] = Array.isArray(type) ? (type as unknown[]) : type === undefined ? values.map(typeOf) : [type];
  const types = [...new Set(values.includes(null) ? [...given, 'null'] : given)];
  words['type'] = types.length === 1 ? types[0] : types;
  const isTold = listed.length > 0 && values.every((value) => value === null || listed.includes(value as string));
  if (isTold) words['enum'] = listed;
  else delete words['enum'];
  if (!isTold) untold['enum'] = values;
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** Two schemas that both hold, as one. Where they say different things of the same, the first stands and the second is told. */
function bothOf(first: Reworded, second: Reworded): Reworded {
  const words: JsonObject = { ...first.words };
  const contrary: JsonObject = { ...second.untold };
  for (const [name, value] of Object.entries(second.words)) {
    const before = words[name];
    if (before === undefined) words[name] = value;
    else if (NAMED.has(name) && isSchema(before) && isSchema(value)) words[name] = bothNamed(before, value);
    else if (name === 'required' && Array.isArray(before) && Array.isArray(value))
      words[name] = [...new Set<unknown>([...before, ...value])];
    else if (!REMARKS.has(name) && JSON.stringify(before) !== JSON.stringify(value)) contrary[name] = value;
  }
  if (Object.keys(contrary).length === 0) return { words, untold: first.untold };
  const told = (first.untold['allOf'] as unknown[] | undefined) ?? [];
  return { words, untold: { ...first.untold, allOf: [...told, contrary] } };
}

function bothNamed(first: JsonObject, second: JsonObject): JsonObject {
  const both: JsonObject = { ...first };
  for (const [name, schema] of Object.entries(second)) both[name] = Object.hasOwn(first, name) ? { allOf: [first[name], schema] } : schema;
  return both;
}
