import type { BlockHead, StreamPart } from '../answer.ts';
import { isObject, listIn, textIn } from '../json-object.ts';
import { EventSplitter, parseData, readEvents } from '../sse.ts';
import type { JsonObject, PartReader } from '../wire.ts';
import { failureOf } from './failure.ts';
import { finishFromWire } from './finish.ts';
import { usageIn } from './reader.ts';
import { UsageSoFar } from './usage.ts';

const WIRE = 'anthropic-messages';

/** The block that is being written: its number in our count, and in the provider's. */
interface OpenBlock {
  readonly block: number;
  readonly index: unknown;
  readonly type: BlockHead['type'];
  /** A whole input that came with the block's head: it counts where no pieces follow. */
  readonly wholeInput: string;
  wrote: boolean;
}

/** Takes a messages stream apart: https://docs.anthropic.com/en/api/messages-streaming. */
export class MessagesPartReader implements PartReader {
  readonly #splitter = new EventSplitter();
  readonly #usage = new UsageSoFar();
  #out: StreamPart[] = [];
  #open: OpenBlock | null = null;
  #blocks = 0;
  #started = false;
  #finished = false;
  #over = false;

  push(chunk: Buffer): StreamPart[] {
    return this.#read(this.#splitter.push(chunk));
  }

  /** A message that told why it ended is whole, also where the provider forgot to say so once more. */
  finish(): StreamPart[] {
    this.#out = this.#read(this.#splitter.finish());
    if (!this.#over && this.#finished) this.#end({ type: 'done' });
    return this.#out;
  }

  #read(events: Buffer): StreamPart[] {
    this.#out = [];
    for (const { name, data } of readEvents(events)) {
      if (this.#over) break;
      const value = parseData(data);
      const failure = failureOf(value) ?? (name === 'error' ? (value ?? data) : undefined);
      if (failure !== undefined) this.#end({ type: 'failed', failure });
      else if (isObject(value)) this.#event(value);
    }
    return this.#out;
  }

  #event(event: JsonObject): void {
    if (event['type'] === 'message_start') this.#start(event['message']);
    const usage = this.#usage.add(usageIn(event));
    if (event['type'] === 'content_block_start') this.#beginBlock(event['index'], event['content_block']);
    else if (event['type'] === 'content_block_delta') this.#delta(event['index'], event['delta']);
    else if (event['type'] === 'content_block_stop' && this.#open?.index === event['index']) this.#endBlock();
    if (usage) this.#out.push({ type: 'usage', usage });
    if (event['type'] === 'message_delta') this.#stop(event['delta']);
    if (event['type'] === 'message_stop') {
      this.#stop({ stop_reason: 'end_turn' });
      this.#end({ type: 'done' });
    }
  }

  /** A proxy that tries again begins a second message in the same stream: what is open of the first one stays unfinished. */
  #start(message: unknown): void {
    this.#endBlock();
    if (this.#started) return;
    this.#started = true;
    const model = isObject(message) ? message['model'] : undefined;
    this.#out.push({ type: 'start', ...(typeof model === 'string' && { model }) });
  }

  #stop(delta: unknown): void {
    const reason = isObject(delta) ? delta['stop_reason'] : null;
    if (this.#finished || typeof reason !== 'string') return;
    this.#endBlock();
    this.#finished = true;
    this.#out.push({ type: 'finish', completion: 0, finish: finishFromWire(reason, (delta as JsonObject)['stop_sequence']) });
  }

  #end(last: StreamPart): void {
    this.#endBlock();
    this.#over = true;
    this.#out.push(last);
  }

  #beginBlock(index: unknown, content: unknown): void {
    this.#endBlock();
    if (!isObject(content)) return;
    const head = headOf(content);
    if (!head) return;
    const { input } = content;
    const wholeInput = isObject(input) && Object.keys(input).length > 0 ? JSON.stringify(input) : '';
    this.#openBlock(index, head, wholeInput);
    this.#write(textIn(content['text']) || textIn(content['thinking']));
    this.#sign(content['signature']);
    for (const citation of listIn(content['citations'])) this.#cite(citation);
  }

  #openBlock(index: unknown, head: BlockHead, wholeInput: string): void {
    const block = this.#blocks++;
    this.#open = { block, index, type: head.type, wholeInput, wrote: false };
    this.#out.push({ type: 'block_start', block, completion: 0, head });
  }

  #endBlock(): void {
    if (!this.#open) return;
    if (!this.#open.wrote) this.#write(this.#open.wholeInput);
    this.#out.push({ type: 'block_end', block: this.#open.block });
    this.#open = null;
  }

  #delta(index: unknown, delta: unknown): void {
    if (!isObject(delta)) return;
    const head = HEADS_OF_DELTAS[String(delta['type'])];
    // Some servers leave the beginning of a block out.
    if (head && this.#open?.index !== index) {
      this.#endBlock();
      this.#openBlock(index, head, '');
    }
    if (this.#open?.index !== index) return;
    this.#write(textIn(delta['text']) || textIn(delta['thinking']) || textIn(delta['partial_json']));
    this.#sign(delta['signature']);
    if (isObject(delta['citation'])) this.#cite(delta['citation']);
  }

  #write(text: string): void {
    if (!this.#open || text === '') return;
    this.#open.wrote = true;
    this.#out.push({ type: 'delta', block: this.#open.block, text });
  }

  #sign(value: unknown): void {
    if (this.#open?.type !== 'reasoning' || typeof value !== 'string' || value === '') return;
    this.#out.push({ type: 'signature', block: this.#open.block, signature: { wire: WIRE, value } });
  }

  #cite(citation: unknown): void {
    if (this.#open?.type === 'text') this.#out.push({ type: 'citation', block: this.#open.block, citation });
  }
}

const HEADS_OF_DELTAS: Readonly<Record<string, BlockHead>> = { text_delta: { type: 'text' }, thinking_delta: { type: 'reasoning' } };

/** What a block will be; null for one that only its own wire can say (a hosted tool, its results, a summary for the next turn). */
function headOf(content: JsonObject): BlockHead | null {
  switch (content['type']) {
    case 'text':
      return { type: 'text' };
    case 'thinking':
      return { type: 'reasoning' };
    case 'redacted_thinking':
      return { type: 'reasoning', redacted: { wire: WIRE, value: textIn(content['data']) } };
    case 'tool_use':
      return { type: 'tool_call', id: textIn(content['id']), name: textIn(content['name']), kind: 'function' };
    default:
      return null;
  }
}
