import { isObject } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';

/** About a token each, by every tokenizer. */
const WORD = ' tool';
/** What the API puts in front of a prompt with tools, and of one with a schema, at most: its documentation and recorded answers tell. */
const TOOLS_TOKENS = 900;
const SCHEMA_TOKENS = 300;

/** A text that comes to as many tokens as the API adds to a prompt without our sending them: they are billed like any others. */
export function hiddenText({ tools, output_config: output }: JsonObject): string {
  const forTools = Array.isArray(tools) && tools.length > 0 ? TOOLS_TOKENS : 0;
  const forSchema = isObject(output) && (output['format'] ?? null) !== null ? SCHEMA_TOKENS : 0;
  return WORD.repeat(forTools + forSchema);
}
