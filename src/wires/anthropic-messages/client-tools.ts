import { at, fault, type Check } from '../fault.ts';
import { isObject } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { cacheControl } from './blocks.ts';
import { aText, anObject, listOfAll, objectOf, optional } from './checks.ts';

const MOST_TOOLS = 1024;
const NAME = /^[a-zA-Z0-9_-]{1,128}$/;

/** Tools whose schemas Claude knows by heart and that a client runs itself. */
const KNOWN = /^(bash|text_editor|memory)_\d{8}$/;

const text = { type: 'string' };
const range = { type: 'array', items: { type: 'integer' } };
const files = {
  path: text,
  file_text: text,
  old_str: text,
  new_str: text,
  insert_line: { type: 'integer' },
  insert_text: text,
  view_range: range,
};
const SCHEMAS: Readonly<Record<string, { description: string; properties: JsonObject; required: string[] }>> = {
  bash: {
    description: 'Runs a command in a bash shell that keeps its state. `restart` starts the shell anew.',
    properties: { command: text, restart: { type: 'boolean' } },
    required: [],
  },
  text_editor: {
    description: 'Views, creates and changes files.',
    properties: { command: { type: 'string', enum: ['view', 'create', 'str_replace', 'insert', 'undo_edit'] }, ...files },
    required: ['command', 'path'],
  },
  memory: {
    description: 'Keeps notes in files below /memories, across conversations. Look there first.',
    properties: {
      command: { type: 'string', enum: ['view', 'create', 'str_replace', 'insert', 'delete', 'rename'] },
      ...files,
      old_path: text,
      new_path: text,
    },
    required: ['command'],
  },
};

const aName: Check = (value) => aText(value) ?? (NAME.test(value as string) ? null : fault('must be 1 to 128 letters, digits, _ and -'));
const callers: Check = optional(
  listOfAll(
    (caller) => (caller === 'direct' ? null : fault('only direct is supported: code that runs at the provider has no known price')),
    16,
  ),
);
const own = objectOf({
  name: aName,
  input_schema: anObject,
  description: optional(aText),
  cache_control: cacheControl,
  allowed_callers: callers,
});
const known = objectOf({ name: aName, cache_control: cacheControl });

/** Whether a tool would run at the provider, at prices of its own: it can be offered in vain, but never be used. */
export function isHosted(tool: JsonObject): boolean {
  const { type } = tool;
  return typeof type === 'string' && type !== 'custom' && !KNOWN.test(type);
}

/** Whether a tool's schema is Claude's own: the API adds it to the prompt. */
export function isKnownByHeart(tool: JsonObject): boolean {
  return typeof tool['type'] === 'string' && KNOWN.test(tool['type']);
}

/** The member `tools`. */
export const checkTools: Check = listOfAll((tool) => {
  if (!isObject(tool)) return anObject(tool);
  const { type } = tool;
  if (type !== undefined && type !== null && typeof type !== 'string') return at('type', fault('must be a string'));
  if (isHosted(tool)) return null;
  return type === undefined || type === null || type === 'custom' ? own(tool) : known(tool);
}, MOST_TOOLS);

/** The schema of a tool, and what it says of itself: for models that do not know Claude's own by heart. */
export function schemaOf(tool: JsonObject): { description: string | undefined; parameters: JsonObject } {
  const family = KNOWN.exec(String(tool['type']))?.[1];
  const schema = family === undefined ? undefined : SCHEMAS[family];
  if (schema)
    return { description: schema.description, parameters: { type: 'object', properties: schema.properties, required: schema.required } };
  const { description, input_schema: parameters } = tool;
  return { description: typeof description === 'string' ? description : undefined, parameters: parameters as JsonObject };
}
