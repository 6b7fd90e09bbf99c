/**
 * The events of a stream as the plainest deployed decoders read it: line by line, and whatever stands before a blank line is dispatched,
 * data or not. Throws where that would be an event without data, or where the stream ends inside an event.
 */
export function decodeStrictly(raw: string): string[] {
  const events: string[] = [];
  let data: string[] = [];
  const lines = raw.split(/\r\n|\n|\r/);
  const rest = lines.pop();
  for (const line of lines) {
    if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
    if (line !== '') continue;
    const event = data.join('\n');
    if (event.trim() === '') throw new Error(`an event without data in ${JSON.stringify(raw)}`);
    events.push(event);
    data = [];
  }
  if (rest !== '' || data.length > 0) throw new Error(`the stream ends inside an event: ${JSON.stringify(raw.slice(-200))}`);
  return events;
}
