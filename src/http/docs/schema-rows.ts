import { renderInline } from './markdown.ts';
import type { OpenApiDocument } from './openapi-document.ts';

/** A field of a body, for a table. */
export interface FieldRow {
  readonly names: readonly string[];
  readonly type: string;
  readonly required: boolean;
  /** HTML. */
  readonly text: string;
}

/** As much of JSON Schema as the document uses. */
export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly format?: string;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly default?: unknown;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

const MOST_DEPTH = 3;

/** The fields of an object, and those of objects within it by their dotted names. */
export function fieldsOfSchema(schema: JsonSchema, document: OpenApiDocument, prefix = '', depth = 0): FieldRow[] {
  const found = followed(schema, document);
  const variants = found.anyOf ?? found.oneOf;
  if (variants && depth === 0) return variants.flatMap((variant) => fieldsOfSchema(variant, document, prefix, depth + 1));
  return joined(
    Object.entries(found.properties ?? {}).flatMap(([name, field]) => {
      const inner = followed(field, document);
      const row: FieldRow = {
        names: [prefix + name],
        type: typeOf(field, document),
        required: found.required?.includes(name) === true,
        text: renderInline(field.description ?? inner.description ?? ''),
      };
      const [of, mark] = objectIn(inner, document);
      return depth + 1 < MOST_DEPTH && of ? [row, ...fieldsOfSchema(of, document, `${prefix}${name}${mark}.`, depth + 1)] : [row];
    }),
  );
}

/** Neighbours that differ in their names alone stand in one row. */
function joined(rows: readonly FieldRow[]): FieldRow[] {
  const groups: FieldRow[] = [];
  for (const row of rows) {
    const last = groups.at(-1);
    const isAlike = last && last.text !== '' && last.type === row.type && last.text === row.text && last.required === row.required;
    if (isAlike) groups[groups.length - 1] = { ...last, names: [...last.names, ...row.names] };
    else groups.push(row);
  }
  return groups;
}

/** The object that a field is or lists. */
function objectIn(schema: JsonSchema, document: OpenApiDocument): [JsonSchema | undefined, string] {
  const plain = withoutNull(schema, document);
  if (plain.properties) return [plain, ''];
  const items = plain.items && followed(plain.items, document);
  return items?.properties ? [items, '[]'] : [undefined, ''];
}

/** A type in a few words: `text, 1 to 256 characters`. */
export function typeOf(schema: JsonSchema, document: OpenApiDocument): string {
  const found = followed(schema, document);
  const variants = found.anyOf ?? found.oneOf;
  if (variants) return [...new Set(variants.map((variant) => typeOf(variant, document)))].join(' or ');
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(', ');
  const names = [found.type ?? []].flat();
  if (names.length === 0) return 'any value';
  const [named = ''] = names;
  const first =
    names.length > 1
      ? names.map((name) => WORDS[name] ?? name).join(' or ')
      : named === 'array'
        ? listOf(found, document)
        : (WORDS[named] ?? named);
  return [first, ...limitsOf(found)].join(', ');
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'whole number',
  boolean: 'true or false',
  array: 'list',
  null: 'null',
};

function listOf({ items }: JsonSchema, document: OpenApiDocument): string {
  return items ? `list of ${typeOf(items, document)}` : 'list';
}

function limitsOf({ minimum, maximum, minLength, maxLength, minItems, maxItems, format, default: usual }: JsonSchema): string[] {
  const range = (low: number | undefined, high: number | undefined, of = '') =>
    high !== undefined ? [`${low ?? 0} to ${high}${of}`] : low !== undefined && low > 0 ? [`at least ${low}${of}`] : [];
  return [
    ...(format !== undefined ? [format] : []),
    ...range(minimum, maximum),
    ...range(minLength, maxLength, ' characters'),
    ...range(minItems, maxItems, ' elements'),
    ...(usual === undefined ? [] : [`${JSON.stringify(usual)} if left out`]),
  ];
}

function withoutNull(schema: JsonSchema, document: OpenApiDocument): JsonSchema {
  const plain = (schema.anyOf ?? schema.oneOf)?.filter(({ type }) => type !== 'null');
  return plain?.length === 1 && plain[0] ? followed(plain[0], document) : schema;
}

function followed(schema: JsonSchema, document: OpenApiDocument): JsonSchema {
  const name = schema.$ref?.split('/').at(-1);
  return name === undefined ? schema : ((document.components?.schemas?.[name] as JsonSchema | undefined) ?? {});
}
