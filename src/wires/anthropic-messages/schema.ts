import { isObject } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';

/** Keywords that a schema given apart from the prompt may not hold; what they say moves into the description, where a model reads it. */
const UNTAKEN = [
  'minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf|minLength|maxLength',
  'maxItems|uniqueItems|minContains|maxContains|minProperties|maxProperties|patternProperties|propertyNames',
]
  .join('|')
  .split('|');
const SUBSCHEMAS = ['items', 'additionalItems', 'contains', 'not', 'if', 'then', 'else'];
const LISTS_OF_SUBSCHEMAS = ['anyOf', 'oneOf', 'allOf', 'prefixItems'];
const NAMED_SUBSCHEMAS = ['properties', '$defs', 'definitions'];

/**
 * A JSON schema as the API takes one that it enforces: every object closed, no limits of numbers or lengths.
 * https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs
 */
export function closedSchema(schema: JsonObject): JsonObject {
  const closed: JsonObject = {};
  const said: string[] = [];
  for (const [name, value] of Object.entries(schema)) {
    if (UNTAKEN.includes(name) || (name === 'minItems' && value !== 0 && value !== 1)) said.push(`${name}: ${JSON.stringify(value)}`);
    else if (name === '$schema') continue;
    else closed[name] = member(name, value);
  }
  if (isObject(schema['properties']) || schema['type'] === 'object') closed['additionalProperties'] = false;
  if (said.length > 0) closed['description'] = [schema['description'], `{${said.join(', ')}}`].filter(Boolean).join('\n\n');
  return closed;
}

function member(name: string, value: unknown): unknown {
  if (SUBSCHEMAS.includes(name) && isObject(value)) return closedSchema(value);
  if (LISTS_OF_SUBSCHEMAS.includes(name) && Array.isArray(value)) return value.map(closedIfSchema);
  if (NAMED_SUBSCHEMAS.includes(name) && isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, closedIfSchema(one)]));
  }
  return value;
}

function closedIfSchema(value: unknown): unknown {
  return isObject(value) ? closedSchema(value) : value;
}
