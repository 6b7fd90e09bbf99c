import { asObject, indexIn, objectsIn, textIn } from '../json-object.ts';
import { parseEvents } from '../sse.ts';
import type { EventReading, JsonObject, Progress } from '../wire.ts';
import type { Written } from '../written.ts';
import { collectItem, isWritten } from './answer.ts';

/** A response is one completion. */
const COMPLETION = 'response';

/** Reads events of this wire that were handed to a client. */
export const responseEvents: EventReading = {
  isDelivery(events) {
    const progress: Progress = { written: { texts: [], binaryCharacters: 0 }, open: new Set(), finished: new Set() };
    for (const event of parseEvents(events)) {
      readEvent(event, progress);
      if (isWritten(progress.written) || progress.finished.size > 0) return true;
    }
    return false;
  },
  read(events, into) {
    for (const event of parseEvents(events)) readEvent(event, into);
  },
};

/**
 * What an event says is said again when its part, its item and the response end: it counts once. So `open` also holds the items that were
 * begun, and those of which something came in pieces.
 */
function readEvent(event: JsonObject, { written, open, finished }: Progress): void {
  const type = textIn(event['type']);
  const item = `item ${indexIn(event['output_index'])}`;
  const pieces = `pieces of ${item}`;
  // Some hosts leave an index out here and there.
  const text = `text ${indexIn(event['content_index']) || 0}/${indexIn(event['summary_index']) || 0} of ${item}`;
  if (type === 'response.completed' || type === 'response.incomplete') {
    if (open.size === 0) for (const one of objectsIn(asObject(event['response'])['output'])) collectItem(one, written);
    open.clear();
    finished.add(COMPLETION);
  } else if (type === 'response.output_item.added') {
    open.add(COMPLETION).add(item);
    take(written, asObject(event['item'])['name']);
  } else if (type === 'response.output_item.done') {
    collectItem(rest(asObject(event['item']), { begun: open.has(item), told: open.has(pieces) }), written);
    open.add(COMPLETION).delete(item);
    for (const one of open) if (String(one).endsWith(` of ${item}`)) open.delete(one);
  } else if (type.endsWith('.delta')) {
    open.add(COMPLETION).add(pieces).add(text);
    take(written, event['delta']);
  } else if (type.endsWith('.done') && !open.has(text)) {
    // Some hosts tell a text at its end alone.
    const whole = wholeText(event);
    if (whole === '') return;
    open.add(COMPLETION).add(pieces).add(text);
    take(written, whole);
  }
}

/** What the end of a text, of a call's arguments or of a part says again, or for the first time. */
function wholeText(event: JsonObject): string {
  const { text, refusal } = asObject(event['part']);
  return [event['text'], event['refusal'], event['arguments'], event['input'], text, refusal].map(textIn).find((one) => one !== '') ?? '';
}

/** What of a whole item was not said before it ended: its seal, and its text where that did not come in pieces. */
function rest(item: JsonObject, { begun, told }: { begun: boolean; told: boolean }): JsonObject {
  const { name: _name, ...unnamed } = item;
  const said = begun ? unnamed : item;
  return told ? { encrypted_content: item['encrypted_content'], ...(!begun && { name: item['name'] }) } : said;
}

function take({ texts }: Written, text: unknown): void {
  if (typeof text === 'string' && text !== '') texts.push(text);
}
