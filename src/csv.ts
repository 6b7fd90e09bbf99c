/** Digits that a spreadsheet may read as a number. */
export interface Decimal {
  readonly decimal: string;
}

/** Text, a number, or nothing. */
export type Cell = string | bigint | Decimal | null;

const PLAIN = /^-?\d+(?:\.\d+)?$/;
/** A spreadsheet would take it for a formula. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
const QUOTED = /[",\r\n]/;

/** A number as it is written. Throws RangeError for what is no plain decimal. */
export function decimal(digits: string): Decimal {
  if (!PLAIN.test(digits)) throw new RangeError(`not a plain decimal: ${digits.slice(0, 40)}`);
  return { decimal: digits };
}

/** A line of CSV as RFC 4180 has it. Text that a spreadsheet would carry out begins with an apostrophe. */
export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(written).join(',')}\r\n`;
}

function written(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'bigint') return cell.toString();
  if (typeof cell !== 'string') return cell.decimal;
  const text = FORMULA.test(cell) ? `'${cell}` : cell;
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
