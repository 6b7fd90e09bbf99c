/** A cell of a list: text, with where it leads; or the HTML of `format.time`. */
export interface Cell {
  readonly text?: string;
  readonly html?: string;
  readonly href?: string;
  /** Of a number: right-aligned. */
  readonly n?: boolean;
  /** What must be seen. */
  readonly tone?: 'bad' | 'warn' | 'good';
  readonly mono?: boolean;
}

export interface Column {
  readonly name: string;
  readonly n?: boolean;
}

/** A row; its first cell names it. */
export interface TableRow {
  readonly cells: readonly Cell[];
  /** Of what is over: greyed. */
  readonly gone?: boolean;
}

/** One table of a page, as `views/admin/table.eta` draws it. */
export interface Table {
  readonly id: string;
  readonly caption: string;
  /** True where the caption is the heading above the table. */
  readonly heading?: boolean;
  readonly columns: readonly Column[];
  readonly rows: readonly TableRow[];
  /** What stands there where there is no row. */
  readonly empty: string;
  /** The next page, where there is one. */
  readonly older?: string | undefined;
}

/** Rows of a page. One more is asked for, to know whether there is another page. */
export const PAGE_ROWS = 50;

/** The first page of what may have more, and whether it has. */
export function pageOf<T>(rows: readonly T[]): { rows: readonly T[]; last: T | undefined; more: boolean } {
  const shown = rows.slice(0, PAGE_ROWS);
  return { rows: shown, last: shown.at(-1), more: rows.length > PAGE_ROWS };
}

/** The address of a page with these parameters; empty ones are left out. */
export function withQuery(path: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams(Object.entries(parameters).filter((each): each is [string, string] => Boolean(each[1])));
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}

/** Of an address's query, the text of one parameter; undefined where it is none, or given more than once. */
export function queryText(query: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = query[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
