/** Any JSON value, for looking into. */
export interface Json {
  [name: string]: Json;
  [index: number]: Json;
}

/** A string in a JSON value; '' for anything else. */
export function wordOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The JSON of every event of a stream that is JSON. */
export function jsonOfEvents(raw: string): Json[] {
  const blocks = raw.split(/\r\n\r\n|\n\n|\r\r/);
  return blocks.flatMap((block) => {
    const data = [...block.matchAll(/^data:[ ]?(.*)$/gm)].map(([, line = '']) => line.replace(/\r$/, '')).join('\n');
    return data.trim().startsWith('{') ? [JSON.parse(data) as Json] : [];
  });
}
