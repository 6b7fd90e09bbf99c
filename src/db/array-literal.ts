/**
 * One member of every row as a PostgreSQL array literal, which goes to the database as it is: the driver's own way of writing arrays takes
 * several times as long. Not quoted, so only for numbers, uuids, dates, words of ours and what `textLiteral` and `byteaLiteral` give.
 * https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
 */
export function arrayLiteral<T>(rows: readonly T[], member: (row: T) => bigint | number | string | boolean | null | undefined): string {
  let literal = '{';
  for (let index = 0; index < rows.length; index++) {
    if (index > 0) literal += ',';
    const value = member(rows[index] as T);
    literal += value === null || value === undefined ? 'NULL' : String(value);
  }
  return literal + '}';
}

/** Any text as an element of `arrayLiteral`. */
export function textLiteral(text: string | null): string | null {
  return text === null ? null : `"${/["\\]/.test(text) ? text.replaceAll(/["\\]/g, String.raw`\$&`) : text}"`;
}

/** Bytes as an element of `arrayLiteral`. */
export function byteaLiteral(bytes: Buffer | undefined): string | null {
  return bytes ? `"\\\\x${bytes.toString('hex')}"` : null;
}
