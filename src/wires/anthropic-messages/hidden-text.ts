import { isObject } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';

/** A token, or a byte more where bytes are counted. */
const WORD = ' a';
/** What the API puts in front of a prompt with tools, and of one with a schema: its documentation and recorded answers tell. */
const USUAL = { tools: 500, schema: 120 };
const MOST = { tools: 900, schema: 300 };

/** Usual tokens that the API adds to a prompt without our sending them: they are billed like any others. */
export function hiddenTokens(fields: JsonObject): number {
  return tokensFor(fields, USUAL);
}

/** A text that comes to as many tokens as the API may add at most. */
export function hiddenText(fields: JsonObject): string {
  return WORD.repeat(tokensFor(fields, MOST));
}

function tokensFor({ tools, output_config: output }: JsonObject, added: typeof USUAL): number {
  const forTools = Array.isArray(tools) && tools.length > 0 ? added.tools : 0;
  const forSchema = isObject(output) && (output['format'] ?? null) !== null ? added.schema : 0;
  return forTools + forSchema;
}
