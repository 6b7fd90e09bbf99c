import { isObject, listIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { isKnownByHeart } from './client-tools.ts';

/** A token, or a byte more where bytes are counted. */
const WORD = ' a';
/**
 * What the API puts in front of a prompt with tools, for each tool whose schema is its own, and of a prompt with a schema: its documentation
 * and recorded answers tell.
 */
const USUAL = { tools: 500, known: 400, schema: 120 };
const MOST = { tools: 900, known: 800, schema: 300 };

/** Usual tokens that the API adds to a prompt without our sending them: they are billed like any others. */
export function hiddenTokens(fields: JsonObject): number {
  return tokensFor(fields, USUAL);
}

/** A text that comes to as many tokens as the API may add at most. */
export function hiddenText(fields: JsonObject): string {
  return WORD.repeat(tokensFor(fields, MOST));
}

function tokensFor({ tools, output_config: output }: JsonObject, added: typeof USUAL): number {
  const listed = listIn(tools).filter(isObject);
  const forTools = listed.length > 0 ? added.tools + listed.filter(isKnownByHeart).length * added.known : 0;
  const forSchema = isObject(output) && (output['format'] ?? null) !== null ? added.schema : 0;
  return forTools + forSchema;
}
