import type { BlockHead, StreamPart } from '../answer.ts';
import { BlockOrder } from '../block-order.ts';
import type { Part } from '../generation.ts';
import { asObject, indexIn, isObject, objectsIn, textIn } from '../json-object.ts';
import { EventSplitter, parseData, readEvents } from '../sse.ts';
import type { JsonObject, PartReader } from '../wire.ts';
import { failureOf } from './answer.ts';
import { MOST_EVENT_BYTES } from './event-bytes.ts';
import { finishOf } from './finish.ts';
import { BETWEEN_SUMMARIES, callOf, partsOfItem, reasoningTextOf } from './output-items.ts';
import { sealedFrom } from './sealed.ts';
import { usageFromResponses } from './usage.ts';

/**
 * Takes a stream of response events apart (https://platform.openai.com/docs/api-reference/responses-streaming). Items are known by their
 * index, since some hosts change the ids from event to event. Events of an unknown type are passed over.
 */
export class ResponsesPartReader implements PartReader {
  readonly #splitter = new EventSplitter(MOST_EVENT_BYTES);
  readonly #blocks = new BlockOrder();
  /** The heads of all blocks so far: they tell why the response ended. */
  readonly #said: Pick<Part, 'type'>[] = [];
  /** Which text of a block was told, by the block's key; a text that came in pieces is not told again at its end. */
  readonly #told = new Map<string, string>();
  readonly #reasoningIds = new Map<string, string>();
  #begun = false;
  #ended = false;

  push(chunk: Buffer): StreamPart[] {
    return this.#ended ? [] : this.#read(this.#splitter.push(chunk));
  }

  finish(): StreamPart[] {
    if (this.#ended) return [];
    const parts = this.#read(this.#splitter.finish());
    if (!this.#ended) this.#blocks.endAll(parts);
    return parts;
  }

  #read(events: Buffer): StreamPart[] {
    const parts: StreamPart[] = [];
    for (const { name, data } of readEvents(events)) {
      const event = parseData(data);
      if (isObject(event)) this.#take(event, textIn(event['type']) || name, parts);
      else if (name === 'error') this.#fail(data, parts);
      if (this.#ended) break;
    }
    return parts;
  }

  #take(event: JsonObject, type: string, into: StreamPart[]): void {
    const at = indexIn(event['output_index']);
    const partAt = `${at}/${indexIn(event['content_index'])}`;
    switch (type) {
      case 'response.created':
        return this.#begin(asObject(event['response']), into);
      case 'response.output_item.added':
        return this.#beginItem(asObject(event['item']), at, into);
      case 'response.output_text.delta':
        this.#tellLogprobs(event['logprobs'], into);
        return this.#tell(partAt, { type: 'text' }, textIn(event['delta']), into);
      case 'response.refusal.delta':
        return this.#tell(partAt, { type: 'refusal' }, textIn(event['delta']), into);
      case 'response.output_text.annotation.added':
        return this.#blocks.say(partAt, (block) => ({ type: 'citation', block, citation: event['annotation'] }), into);
      case 'response.content_part.done':
        return this.#endContent(asObject(event['part']), partAt, into);
      case 'response.function_call_arguments.delta':
      case 'response.custom_tool_call_input.delta':
        this.#told.set(at, 'pieces');
        return this.#blocks.delta(at, textIn(event['delta']), into);
      case 'response.reasoning_summary_text.delta':
        return this.#tellReasoning(at, `summary ${indexIn(event['summary_index'])}`, textIn(event['delta']), into);
      case 'response.reasoning_text.delta':
        return this.#tellReasoning(at, `thoughts ${indexIn(event['content_index'])}`, textIn(event['delta']), into);
      case 'response.output_item.done':
        return this.#endItem(asObject(event['item']), at, into);
      case 'response.completed':
      case 'response.incomplete':
        return this.#end(asObject(event['response']), into);
      case 'response.failed':
      case 'error':
        return this.#fail(event, into);
      default:
        if (event['error']) this.#fail(event, into);
    }
  }

  #begin(response: JsonObject, into: StreamPart[]): void {
    if (this.#begun) return;
    this.#begun = true;
    const model = textIn(response['model']);
    into.push({ type: 'start', ...(model !== '' && { model }) });
  }

  #beginItem(item: JsonObject, at: string, into: StreamPart[]): void {
    const { type } = item;
    if (type === 'reasoning') this.#reasoningIds.set(at, textIn(item['id']));
    if ((type === 'function_call' || type === 'custom_tool_call') && item['name']) this.#beginBlock(at, headOf(item), into);
  }

  #beginBlock(key: string, head: BlockHead, into: StreamPart[]): void {
    this.#begin({}, into);
    this.#said.push(head);
    this.#blocks.begin(key, head, into);
  }

  /** A piece of a block, which begins with the first of them. */
  #tell(key: string, head: BlockHead, text: string, into: StreamPart[]): void {
    if (text === '') return;
    if (!this.#blocks.has(key)) this.#beginBlock(key, head, into);
    this.#told.set(key, 'pieces');
    this.#blocks.delta(key, text, into);
  }

  /** @param source which summary, or which of the thoughts: those are told only where there is no summary. */
  #tellReasoning(at: string, source: string, text: string, into: StreamPart[]): void {
    const before = this.#told.get(at);
    if (before?.startsWith('summary') && source.startsWith('thoughts')) return;
    const isNext = before !== undefined && before !== source;
    this.#tell(at, this.#reasoningHead(at), text === '' ? '' : (isNext ? BETWEEN_SUMMARIES : '') + text, into);
    if (text !== '') this.#told.set(at, source);
  }

  #reasoningHead(at: string): BlockHead {
    const id = this.#reasoningIds.get(at);
    return { type: 'reasoning', ...(id && { id }) };
  }

  #tellLogprobs(logprobs: unknown, into: StreamPart[]): void {
    const content = objectsIn(logprobs);
    if (content.length > 0) into.push({ type: 'logprobs', completion: 0, logprobs: { content, refusal: null } });
  }

  #endContent(part: JsonObject, key: string, into: StreamPart[]): void {
    const [said] = partsOfItem({ type: 'message', content: [part] });
    if (said?.type !== 'text' && said?.type !== 'refusal') return this.#blocks.end(key, into);
    if (!this.#told.has(key)) {
      this.#tell(key, { type: said.type }, said.text, into);
      for (const citation of said.type === 'text' ? (said.citations ?? []) : []) {
        this.#blocks.say(key, (block) => ({ type: 'citation', block, citation }), into);
      }
    }
    this.#blocks.end(key, into);
  }

  #endItem(item: JsonObject, at: string, into: StreamPart[]): void {
    const { type } = item;
    if (type === 'message') {
      for (const [index, part] of objectsIn(item['content']).entries()) this.#endContent(part, `${at}/${index}`, into);
    } else if (type === 'reasoning') {
      if (!this.#told.has(at)) this.#tell(at, this.#reasoningHead(at), reasoningTextOf(item), into);
      const sealed = textIn(item['encrypted_content']);
      if (sealed !== '') {
        if (!this.#blocks.has(at)) this.#beginBlock(at, this.#reasoningHead(at), into);
        this.#blocks.say(at, (block) => ({ type: 'signature', block, signature: sealedFrom(sealed).signature }), into);
      }
    } else if (type === 'function_call' || type === 'custom_tool_call') {
      if (!this.#blocks.has(at) && !this.#told.has(at)) this.#beginBlock(at, headOf(item), into);
      if (!this.#told.has(at)) this.#blocks.delta(at, callOf(item).input, into);
    }
    this.#told.set(at, 'whole');
    this.#blocks.end(at, into);
  }

  #end(response: JsonObject, into: StreamPart[]): void {
    this.#begin(response, into);
    // A host that told nothing on the way tells all of it here.
    if (this.#told.size === 0) {
      for (const [index, item] of objectsIn(response['output']).entries()) this.#endItem(item, String(index), into);
    }
    this.#blocks.endAll(into);
    into.push({ type: 'finish', completion: 0, finish: finishOf(response, this.#said) });
    this.#tellUsage(response, into);
    into.push({ type: 'done' });
    this.#ended = true;
  }

  #fail(event: JsonObject | string, into: StreamPart[]): void {
    if (typeof event !== 'string' && isObject(event['response'])) {
      this.#tellUsage(event['response'], into);
      into.push({ type: 'failed', failure: failureOf(event['response']) ?? event['response'] });
    } else {
      into.push({ type: 'failed', failure: typeof event === 'string' ? event : (event['error'] ?? event) });
    }
    this.#ended = true;
  }

  #tellUsage(response: JsonObject, into: StreamPart[]): void {
    const usage = usageFromResponses(response['usage']);
    if (usage) into.push({ type: 'usage', usage });
  }
}

function headOf(item: JsonObject): BlockHead {
  const { id, name, kind } = callOf(item);
  return { type: 'tool_call', id, name, kind };
}
