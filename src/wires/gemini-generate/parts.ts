import type { StreamPart } from '../answer.ts';
import { parseExactJson } from '../exact-json.ts';
import { member, textOrNull } from '../json-object.ts';
import { EventSplitter, readEvents } from '../sse.ts';
import { ZERO_USAGE } from '../usage.ts';
import type { PartReader } from '../wire.ts';
import { CallIds } from './call-ids.ts';
import { CompletionParts, type StreamState } from './completion-parts.ts';
import { finishOfBlock } from './finish.ts';
import { blockReasonOf, candidatesOf, failureOf } from './response.ts';
import { usageFromWire } from './usage.ts';

/**
 * Takes a stream of `streamGenerateContent?alt=sse` apart: every event is a whole GenerateContentResponse with the next pieces. Nothing
 * marks the end but that of the connection. Some models give a reason for their end with every chunk, so the last one counts, and it is
 * told at the end. A stream that ends without one was broken off: it gets no `done`.
 */
export class GeminiParts implements PartReader {
  readonly #splitter = new EventSplitter();
  readonly #completions = new Map<number, CompletionParts>();
  #stream: StreamState | null = null;
  #blockReason: string | null = null;
  #hasUsage = false;
  #hasFailed = false;

  push(chunk: Buffer): StreamPart[] {
    return this.#read(this.#splitter.push(chunk));
  }

  finish(): StreamPart[] {
    const parts = this.#read(this.#splitter.finish());
    if (!this.#hasFailed) parts.push(...this.#ending());
    return parts;
  }

  #read(events: Buffer): StreamPart[] {
    const parts: StreamPart[] = [];
    for (const { data } of readEvents(events)) {
      if (this.#hasFailed) break;
      const response = parseResponse(data);
      if (response !== undefined) parts.push(...this.#take(response));
    }
    return parts;
  }

  #take(response: unknown): StreamPart[] {
    const failure = failureOf(response);
    if (failure !== undefined) {
      this.#hasFailed = true;
      return [{ type: 'failed', failure }];
    }
    const parts: StreamPart[] = [];
    if (!this.#stream) {
      const model = textOrNull(member(response, 'modelVersion'));
      this.#stream = { ids: new CallIds(member(response, 'responseId')), blocks: 0 };
      parts.push({ type: 'start', ...(model !== null && { model }) });
    }
    this.#blockReason = blockReasonOf(response) ?? this.#blockReason;
    for (const candidate of candidatesOf(response)) {
      let completion = this.#completions.get(candidate.index);
      if (!completion) this.#completions.set(candidate.index, (completion = new CompletionParts(candidate.index, this.#stream)));
      parts.push(...completion.push(candidate));
    }
    const usage = usageFromWire(member(response, 'usageMetadata'));
    if (usage) {
      this.#hasUsage = true;
      parts.push({ type: 'usage', usage });
    }
    return parts;
  }

  #ending(): StreamPart[] {
    const completions = [...this.#completions.values()];
    if (completions.length > 0) {
      const isWhole = completions.every(({ hasFinished }) => hasFinished);
      return isWhole ? [...completions.flatMap((completion) => completion.finish()), { type: 'done' }] : [];
    }
    if (this.#blockReason === null) return [];
    // Figures of nothing are left out on this wire, and a prompt that was blocked may have no others.
    const usage: StreamPart[] = this.#hasUsage ? [] : [{ type: 'usage', usage: ZERO_USAGE }];
    return [...usage, { type: 'finish', completion: 0, finish: finishOfBlock(this.#blockReason) }, { type: 'done' }];
  }
}

/** The JSON in an event, its numbers as they were written; undefined where it is none. */
function parseResponse(data: string): unknown {
  try {
    const { value, verbatim } = parseExactJson(data);
    return typeof value === 'object' && value !== null ? verbatim : undefined;
  } catch {
    return undefined;
  }
}
