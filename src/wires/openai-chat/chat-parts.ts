import type { BlockHead, StreamPart } from '../answer.ts';
import { BlockOrder } from '../block-order.ts';
import { madeCallId } from '../call-id.ts';
import type { JsonObject, PartReader } from '../wire.ts';
import { EventSplitter, parseData, readEvents, type SseEvent } from '../sse.ts';
import { mergeUsage, type ReportedUsage } from '../usage.ts';
import { extraSignatureOf } from './call-signature.ts';
import { failureOfFinish, finishOf } from './chat-finish.ts';
import { contentPiecesOf, citationsOf } from './content-pieces.ts';
import { PieceOrder } from './piece-order.ts';
import { reasoningPiecesOf, reasoningTextOf } from './reasoning-details.ts';
import { callPieceOf, callsOf } from './tool-calls.ts';
import { reportedUsageOf } from './usage.ts';
import { member } from '../json-object.ts';
import { choicesOf, failureOf, finishReasonOf, isUsageOnly, rawUsageOf } from './wire-chunk.ts';

const TEXT: BlockHead = { type: 'text' };
const REFUSAL: BlockHead = { type: 'refusal' };

/** One of a stream's completions. */
interface Course {
  readonly order: PieceOrder;
  refused: boolean;
  /** Its choice with the finish reason, said once the stream has ended: some servers say a reason with every chunk. */
  finish: { choice: unknown; native: string } | null;
}

/** Takes a stream of the chat wire apart: https://platform.openai.com/docs/api-reference/chat-streaming */
export class ChatParts implements PartReader {
  readonly #splitter = new EventSplitter();
  readonly #blocks = new BlockOrder();
  readonly #courses = new Map<number, Course>();
  #usage: ReportedUsage | null = null;
  /** How often the figures came by themselves, and whether nothing was written after the last time. */
  #usagesAlone = 0;
  #endsWithUsage = false;
  #answerId = '';
  #started = false;
  #over = false;

  push(chunk: Buffer): StreamPart[] {
    return this.#over ? [] : this.#read(this.#splitter.push(chunk));
  }

  finish(): StreamPart[] {
    if (this.#over) return [];
    const parts = this.#read(this.#splitter.finish());
    if (this.#over) return parts;
    // Without `[DONE]` the finish reasons tell whether it was whole, or figures that came by themselves, and that once, at the end.
    const courses = [...this.#courses.values()];
    const isFinished = courses.every(({ finish }) => finish !== null) || (this.#endsWithUsage && this.#usagesAlone === 1);
    return parts.concat(this.#end(courses.length > 0 && isFinished));
  }

  #read(events: Buffer): StreamPart[] {
    const parts: StreamPart[] = [];
    for (const event of readEvents(events)) {
      parts.push(...this.#event(event));
      if (this.#over) break;
    }
    return parts;
  }

  #event({ name, data }: SseEvent): StreamPart[] {
    if (data.trim() === '[DONE]') return this.#end(true);
    const value = parseData(data);
    const failure = name === 'error' ? (failureOf(value) ?? value ?? data) : failureOf(value);
    if (failure !== undefined) return this.#fail(failure);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
    return this.#chunk(value as JsonObject);
  }

  #chunk(chunk: JsonObject): StreamPart[] {
    const parts: StreamPart[] = [];
    const { id, model } = chunk;
    if (this.#answerId === '' && typeof id === 'string') this.#answerId = id;
    if (!this.#started) parts.push({ type: 'start', ...(typeof model === 'string' && model !== '' && { model }) });
    this.#started = true;
    for (const [position, choice] of choicesOf(chunk).entries()) {
      const index = member(choice, 'index');
      parts.push(...this.#choice(choice, Number.isSafeInteger(index) ? (index as number) : position));
      const native = finishReasonOf(choice);
      const failure = native !== null ? failureOfFinish(native) : undefined;
      if (failure !== undefined) return [...parts, ...this.#fail(failure)];
    }
    const usage = reportedUsageOf(rawUsageOf(chunk));
    this.#endsWithUsage = usage !== null && isUsageOnly(chunk);
    if (this.#endsWithUsage) this.#usagesAlone++;
    if (usage) {
      this.#usage = mergeUsage(this.#usage, usage);
      parts.push({ type: 'usage', usage: this.#usage });
    }
    return parts;
  }

  #choice(choice: unknown, index: number): StreamPart[] {
    const course = this.#course(index);
    const parts: StreamPart[] = [];
    // Legacy completions have their text in the choice itself.
    readDelta(member(choice, 'delta') ?? member(choice, 'message') ?? { content: member(choice, 'text') }, course, parts);
    const native = finishReasonOf(choice);
    if (native !== null) course.finish = { choice, native };
    const logprobs = member(choice, 'logprobs') ?? null;
    if (logprobs !== null) parts.push({ type: 'logprobs', completion: index, logprobs });
    return parts;
  }

  #course(index: number): Course {
    let course = this.#courses.get(index);
    if (!course) {
      const order = new PieceOrder(index, this.#blocks, (position) => madeCallId(this.#answerId, index, position));
      course = { order, refused: false, finish: null };
      this.#courses.set(index, course);
    }
    return course;
  }

  #end(whole: boolean): StreamPart[] {
    this.#over = true;
    const parts: StreamPart[] = [];
    for (const [completion, { order, refused, finish }] of this.#courses) {
      order.end(parts);
      // `[DONE]` without a reason: the server has none to give.
      if (!whole) continue;
      const { choice, native } = finish ?? { choice: undefined, native: 'stop' };
      parts.push({ type: 'finish', completion, finish: finishOf(choice, native, { calls: order.calls > 0, refusal: refused }) });
    }
    if (whole) parts.push({ type: 'done' });
    return parts;
  }

  #fail(failure: unknown): StreamPart[] {
    this.#over = true;
    return [{ type: 'failed', failure }];
  }
}

/** What a delta brings, in the order in which a model writes: thoughts, text, calls. */
function readDelta(delta: unknown, course: Course, into: StreamPart[]): void {
  const { order } = course;
  readReasoning(delta, order, into);
  for (const { type, text } of contentPiecesOf(delta)) {
    if (type === 'refusal') course.refused = true;
    if (type === 'reasoning') order.text('reasoning:0', { type }, text, into);
    else order.text(type, type === 'refusal' ? REFUSAL : TEXT, text, into);
  }
  for (const citation of citationsOf(delta)) order.citation('text', TEXT, citation, into);
  const signature = extraSignatureOf(delta);
  if (signature) order.signature('text', TEXT, signature, into);
  for (const [position, call] of callsOf(delta).entries()) order.call(callKey(call, position, order), callPieceOf(call), into);
}

function readReasoning(delta: unknown, order: PieceOrder, into: StreamPart[]): void {
  const pieces = reasoningPiecesOf(delta);
  const text = reasoningTextOf(delta);
  if (text !== '' && pieces.every((piece) => piece.text === '')) {
    order.text(`reasoning:${pieces[0]?.index ?? 0}`, { type: 'reasoning' }, text, into);
  }
  for (const { index, text: own, signature, redacted, id } of pieces) {
    const key = `reasoning:${index ?? 0}`;
    const head: BlockHead = { type: 'reasoning', ...(id !== undefined && { id }) };
    if (own !== '') order.text(key, head, own, into);
    if (signature) order.signature(key, head, signature, into);
    if (redacted) order.whole({ ...head, redacted }, into);
  }
}

/** Which call a piece belongs to: by its index; where a server gives none, by its id, by its name as a new one, or to the last one. */
function callKey(call: unknown, position: number, order: PieceOrder): string {
  const index = member(call, 'index');
  if (typeof index === 'number' || typeof index === 'string') return String(index);
  const { id, name } = callPieceOf(call);
  if (id) return `id ${id}`;
  if (name) return `new ${order.calls}`;
  return order.lastCall ?? String(position);
}
