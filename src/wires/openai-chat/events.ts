import { parseEvents } from '../sse.ts';
import type { EventReading, Progress } from '../wire.ts';
import { collectWritten, isWorthDelivering } from '../written.ts';
import { choicesOf, finishReasonOf, member } from './wire-chunk.ts';

/** Reads the events of a stream in the OpenAI chat wire format, and of legacy completions, which differ in where the text stands. */
export const chatEvents: EventReading = {
  isDelivery(events) {
    for (const chunk of parseEvents(events)) if (choicesOf(chunk).some(isWorthDelivering)) return true;
    return false;
  },
  read(events, into) {
    for (const chunk of parseEvents(events)) for (const choice of choicesOf(chunk)) readChoice(choice, into);
  },
};

function readChoice(choice: unknown, { written, open, finished }: Progress): void {
  collectWritten(choice, written);
  const index = member(choice, 'index') ?? 0;
  open.add(index);
  if (finishReasonOf(choice) !== null) finished.add(index);
  if (finished.has(index)) open.delete(index);
}
