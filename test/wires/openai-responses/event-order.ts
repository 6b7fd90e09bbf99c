import { parseEvents, readEvents } from '../../../src/wires/sse.ts';

type Json = Record<string, unknown>;

const DONE_OF: Readonly<Record<string, string>> = {
  'response.output_text.delta': 'text',
  'response.refusal.delta': 'refusal',
  'response.function_call_arguments.delta': 'arguments',
  'response.custom_tool_call_input.delta': 'input',
  'response.reasoning_summary_text.delta': 'text',
};

/**
 * Checks the events of a whole stream as a strict client would: names, numbers, ids, indexes, and that each text which came in pieces comes
 * whole again, in its part, its item and the response. Throws; gives the final response.
 */
export function checkEventOrder(stream: string): Json {
  const events = [...parseEvents(Buffer.from(stream))] as Json[];
  const names = [...readEvents(Buffer.from(stream))].map(({ name }) => name);
  const must = (condition: boolean, what: string, event: Json): void => {
    if (!condition) throw new Error(`${what}: ${JSON.stringify(event)}`);
  };
  const items = new Map<number, { id: unknown; type: unknown; done?: Json }>();
  const texts = new Map<string, string>();
  let open: number | null = null;
  let last: Json | undefined;
  for (const [index, event] of events.entries()) {
    const type = event['type'] as string;
    must(names[index] === type, 'the name differs', event);
    must(event['sequence_number'] === index, 'a gap in the numbers', event);
    must(last === undefined, 'after the end', event);
    if (index < 2) must(type === ['response.created', 'response.in_progress'][index], 'a wrong beginning', event);
    const at = event['output_index'] as number;
    const item = items.get(at);
    const key = `${at}/${type.replace(/\.(?:delta|done)$/, '')}/${JSON.stringify([event['content_index'], event['summary_index']])}`;
    if (type === 'response.output_item.added') {
      const added = event['item'] as Json;
      must(at === items.size && open === null, 'an item begins out of turn', event);
      must(typeof added['id'] === 'string' && added['id'].length <= 64, 'no id', event);
      must(
        [...items.values()].every(({ id }) => id !== added['id']),
        'an id twice',
        event,
      );
      items.set(at, { id: added['id'], type: added['type'] });
      open = at;
    } else if (type === 'response.output_item.done') {
      const done = event['item'] as Json;
      must(at === open && item?.id === done['id'] && item?.type === done['type'], 'another item ends', event);
      if (item) item.done = done;
      open = null;
    } else if (event['item_id'] !== undefined) {
      must(at === open && item?.id === event['item_id'], 'of an item that is not open', event);
      const member = DONE_OF[type];
      if (member !== undefined) texts.set(key, (texts.get(key) ?? '') + (event['delta'] as string));
      const whole = Object.entries(DONE_OF).find(([delta]) => delta.replace(/delta$/, 'done') === type)?.[1];
      if (whole !== undefined) must(event[whole] === (texts.get(key) ?? ''), 'the pieces differ from the whole', event);
    } else if (index >= 2) {
      must(type === 'response.completed' || type === 'response.incomplete', 'an unknown event', event);
      last = event['response'] as Json;
    }
  }
  if (!last || open !== null) throw new Error('the stream does not end');
  const output = last['output'] as Json[];
  if (JSON.stringify(output) !== JSON.stringify([...items.values()].map(({ done }) => done)))
    throw new Error('the output differs from its items');
  return last;
}
