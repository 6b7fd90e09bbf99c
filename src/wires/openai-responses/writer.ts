import type { Finish, StreamPart } from '../answer.ts';
import type { InferenceRequest } from '../request.ts';
import { mergeUsage, type ReportedUsage } from '../usage.ts';
import type { AnswerContext, Ending, JsonObject, SettledFigures, StreamWriter } from '../wire.ts';
import { withFigures } from './body.ts';
import type { ItemWriter } from './item-writer.ts';
import { endedResponse, itemWriter, responseObject } from './response-object.ts';
import { usageToResponses } from './usage.ts';
import { asObject, objectsIn } from '../json-object.ts';

const NOTHING = Buffer.alloc(0);

/** Writes a stream in the events of this wire: numbered from 0 without gaps, with ids that stay the same from the first to the last. */
export class ResponsesWriter implements StreamWriter {
  readonly #response: JsonObject;
  readonly #items: ItemWriter;
  #text = '';
  #number = 0;
  #usage: ReportedUsage | null = null;
  #finish: Finish = { reason: 'stop' };

  constructor(request: InferenceRequest, context: AnswerContext) {
    this.#response = responseObject(request, context);
    this.#items = itemWriter(request, context, (type, fields) => this.#emit(type, fields));
  }

  write(part: StreamPart): string {
    this.#begin();
    this.#take(part);
    const text = this.#text;
    this.#text = '';
    return text;
  }

  ending(figures: SettledFigures | null): Ending {
    this.#begin();
    this.#items.close(this.#finish);
    const usage = this.#usage && usageToResponses(this.#usage);
    const ended = endedResponse(this.#response, this.#items, this.#finish, usage);
    const response = figures ? withFigures(ended, figures) : ended;
    const before = this.#text;
    this.#text = '';
    this.#emit(response['status'] === 'completed' ? 'response.completed' : 'response.incomplete', { response });
    return { usage: before === '' ? NOTHING : Buffer.from(before), last: Buffer.from(this.#text) };
  }

  #take(part: StreamPart): void {
    switch (part.type) {
      case 'block_start':
        return this.#items.begin(part.head);
      case 'delta':
        return this.#items.delta(part.text);
      case 'signature':
        return this.#items.sign(part.signature);
      case 'citation':
        return this.#items.cite(part.citation);
      case 'logprobs':
        return this.#items.logprobs(objectsIn(asObject(part.logprobs)['content']));
      case 'block_end':
        return this.#items.end();
      case 'usage':
        this.#usage = mergeUsage(this.#usage, part.usage);
        return;
      case 'finish':
        this.#finish = part.finish;
        return this.#items.close(part.finish);
      case 'start':
      case 'failed':
      case 'done':
        return;
    }
  }

  #begin(): void {
    if (this.#number > 0) return;
    this.#emit('response.created', { response: this.#response });
    this.#emit('response.in_progress', { response: this.#response });
  }

  #emit(type: string, fields: JsonObject): void {
    this.#text += `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: this.#number++, ...fields })}\n\n`;
  }
}
