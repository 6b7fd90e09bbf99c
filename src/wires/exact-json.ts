/** One JSON text, read twice: to look at, and to write again with every number as it was written. */
export interface ExactJson {
  /** As `JSON.parse` gives it: numbers are doubles. */
  readonly value: unknown;
  /** The same, to be written by `JSON.stringify` and never read: a number that a double would change stands in its own words. */
  readonly verbatim: unknown;
}

/** The context of a reviver and `rawJSON` (https://tc39.es/proposal-json-parse-with-source/), which the compiler does not know yet. */
const json = JSON as unknown as {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
};

/** A number of 16 digits or more, or with an exponent. Any other has the same value as a double. */
const PERHAPS_CHANGED = /[[:,\s]-?(?:\d[\d.]{15,}|\d[\d.]*[eE])/;

/** Each number in its own words takes some hundred bytes: no answer of a provider's is to make millions of them. */
const MOST_KEPT = 100_000;

/**
 * Parses JSON so that it can be passed on with its numbers as they were written: integers above 2^53, more decimals than a double has,
 * exponents beyond its range. A text without such numbers, as almost all are, is parsed once. Throws SyntaxError as `JSON.parse` does.
 * @param perhapsChanged whether there may be such numbers, where that is known already.
 */
export function parseExactJson(text: string, perhapsChanged: boolean = PERHAPS_CHANGED.test(text)): ExactJson {
  const value: unknown = JSON.parse(text);
  if (!perhapsChanged) return { value, verbatim: value };
  let left = MOST_KEPT;
  const inItsOwnWords = (_key: string, one: unknown, { source }: { source?: string }): unknown =>
    typeof one === 'number' && source !== undefined && source !== String(one) && left-- > 0 ? json.rawJSON(source) : one;
  return { value, verbatim: json.parse(text, inItsOwnWords) };
}
