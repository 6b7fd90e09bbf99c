/** A request as a page prints it for `curl`. */
export interface CurlSample {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
}

/** Every `curl` of a page, read as a shell would. What a shell would have to fill in stays as it is. */
export function curlSamples(page: string): CurlSample[] {
  return [...page.matchAll(/curl (?=(?:-\S+ )*(?:[A-Z]+ )?"?https:)/g)].map(({ index, 0: { length } }) =>
    sampleOf(wordsFrom(page, index + length)),
  );
}

/** The words of a command, to the end of its line. */
function wordsFrom(page: string, start: number): string[] {
  const words: string[] = [];
  const WORD = /'([^']*)'|"((?:\\"|[^"])*)"|([^\s'"\\]+)/y;
  for (let at = start; at < page.length && page[at] !== '\n';) {
    WORD.lastIndex = at;
    const found = WORD.exec(page);
    if (found) words.push(found[1] ?? found[2] ?? found[3] ?? '');
    // A backslash continues the command on the next line.
    at = found ? WORD.lastIndex : at + (page[at] === '\\' ? 2 : 1);
  }
  return words;
}

function sampleOf(words: readonly string[]): CurlSample {
  const after = (...flags: string[]) => words.flatMap((word, at) => (flags.includes(word) ? [words[at + 1] ?? ''] : []));
  const { pathname, search } = new URL(words.find((word) => word.startsWith('https:')) ?? '');
  const [body = null] = after('-d', '--data-binary');
  const headers = Object.fromEntries(after('-H').map((line) => line.split(/:\s*/, 2) as [string, string]));
  return { method: after('-X')[0] ?? (body === null ? 'GET' : 'POST'), path: pathname + search, headers, body };
}
