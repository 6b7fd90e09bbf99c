import { isObject, textIn } from '../json-object.ts';
import { parseEvents } from '../sse.ts';
import type { EventReading, JsonObject, Progress } from '../wire.ts';
import { collectWritten, type Written } from '../written.ts';
import { previousSignature } from './marks.ts';

/** The only completion of a message. */
const ONLY = 0;
/** Blocks that a server wrote, and not the model. */
const OF_THE_SERVER = /_tool_result$|^(?:fallback|container_upload|mcp_tool_listing)$/;

/** What the model wrote in a block of a message. */
export function collectBlock(block: unknown, into: Written): void {
  if (!isObject(block) || OF_THE_SERVER.test(textIn(block['type']))) return;
  if (block['type'] !== 'redacted_thinking') return collectWritten(block, into);
  const data = textIn(block['data']);
  // Sealed thoughts were written; a signature was not.
  if (!previousSignature(data)) into.binaryCharacters += data.length;
}

/** What the model wrote in an event of a stream. */
function collectEvent(event: JsonObject, into: Written): void {
  if (event['type'] === 'content_block_start') return collectBlock(event['content_block'], into);
  const { delta } = event;
  if (event['type'] !== 'content_block_delta' || !isObject(delta) || delta['type'] === 'citations_delta') return;
  // A count for a progress bar.
  const { estimated_tokens: _estimate, ...written } = delta;
  collectWritten(written, into);
}

function stopReasonOf(event: JsonObject): unknown {
  return isObject(event['delta']) ? event['delta']['stop_reason'] : undefined;
}

/** Reads the events of a messages stream: https://docs.anthropic.com/en/api/messages-streaming. */
export const messageEvents: EventReading = {
  isDelivery(events: Buffer): boolean {
    const written: Written = { texts: [], binaryCharacters: 0 };
    for (const event of parseEvents(events)) {
      collectEvent(event, written);
      if (written.texts.length > 0 || written.binaryCharacters > 0 || typeof stopReasonOf(event) === 'string') return true;
    }
    return false;
  },

  read(events: Buffer, { written, open, finished }: Progress): void {
    for (const event of parseEvents(events)) {
      collectEvent(event, written);
      if (typeof stopReasonOf(event) === 'string') finished.add(ONLY);
      if (finished.has(ONLY)) open.delete(ONLY);
      else if (event['type'] !== 'ping') open.add(ONLY);
    }
  },
};
