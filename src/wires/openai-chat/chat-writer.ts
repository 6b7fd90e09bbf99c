import type { BlockHead, Finish, StreamPart } from '../answer.ts';
import { madeCallId } from '../call-id.ts';
import type { Signature } from '../generation.ts';
import type { InferenceRequest } from '../request.ts';
import { STREAM_DONE } from '../sse.ts';
import type { AnswerContext, Ending, JsonObject, SettledFigures, StreamWriter } from '../wire.ts';
import { annotationsOf } from './annotations.ts';
import { extraContent } from './call-signature.ts';
import { nativeWord } from './chat-body.ts';
import { finishWord } from './chat-finish.ts';
import { reasoningDetails } from './reasoning-details.ts';
import { usageBody } from './usage-body.ts';

interface Block {
  readonly completion: number;
  readonly head: BlockHead;
  /** Among the calls, or the thoughts, of its completion. */
  readonly position: number;
  written: boolean;
}

interface Course {
  calls: number;
  thoughts: number;
  refused: boolean;
}

/** Writes the parts of an answer of another wire as chunks: https://platform.openai.com/docs/api-reference/chat-streaming */
export class ChatWriter implements StreamWriter {
  readonly #context: AnswerContext;
  readonly #includeUsage: boolean;
  readonly #blocks = new Map<number, Block>();
  readonly #courses = new Map<number, Course>();

  constructor({ includeUsage }: Pick<InferenceRequest, 'includeUsage'>, context: AnswerContext) {
    this.#includeUsage = includeUsage;
    this.#context = context;
  }

  write(part: StreamPart): string {
    switch (part.type) {
      case 'block_start':
        return this.#begin(part.block, part.completion, part.head);
      case 'delta':
        return this.#write(part.block, part.text);
      case 'signature':
        return this.#inside(part.block, (block) => signatureOf(block, part.signature));
      case 'citation':
        return this.#inside(part.block, () => citationOf(part.citation));
      case 'block_end':
        return this.#end(part.block);
      case 'logprobs':
        return (
          this.#course(part.completion).first +
          this.#chunk({ index: part.completion, delta: {}, logprobs: part.logprobs, finish_reason: null })
        );
      case 'finish':
        return this.#finish(part.completion, part.finish);
      case 'start':
      case 'usage':
      case 'failed':
      case 'done':
        return '';
    }
  }

  ending(figures: SettledFigures | null): Ending {
    const usage =
      this.#includeUsage && figures ? this.#event({ choices: [], usage: { ...usageBody(figures.billed), ...figures.costs } }) : '';
    return { usage: Buffer.from(usage), last: STREAM_DONE };
  }

  #begin(number: number, completion: number, head: BlockHead): string {
    const { first, course } = this.#course(completion);
    const position = head.type === 'tool_call' ? course.calls++ : head.type === 'reasoning' ? course.thoughts++ : 0;
    course.refused ||= head.type === 'refusal';
    const block = { completion, head, position, written: false };
    this.#blocks.set(number, block);
    const delta = this.#headDelta(block);
    return first + (delta ? this.#delta(completion, delta) : '');
  }

  #headDelta({ completion, head, position }: Block): JsonObject | null {
    if (head.type === 'reasoning' && head.redacted) return { reasoning_details: reasoningDetails({ ...head, text: '' }, position) };
    if (head.type !== 'tool_call') return null;
    const { id, kind, name, signature } = head;
    const inside = kind === 'custom' ? { custom: { name, input: '' } } : { function: { name, arguments: '' } };
    const call = { index: position, id: id || madeCallId(this.#context.requestId, completion, position), type: kind, ...inside };
    return { tool_calls: [{ ...call, ...(signature && extraContent(signature)) }] };
  }

  #write(number: number, text: string): string {
    const block = this.#blocks.get(number);
    if (block) block.written ||= text !== '';
    return this.#inside(number, (open) => deltaOf(open, text));
  }

  /** A call without arguments has those of an empty object: clients parse them. */
  #end(number: number): string {
    const block = this.#blocks.get(number);
    const isBare = block?.head.type === 'tool_call' && block.head.kind === 'function' && !block.written;
    const last = isBare ? this.#inside(number, (bare) => deltaOf(bare, '{}')) : '';
    this.#blocks.delete(number);
    return last;
  }

  #inside(number: number, write: (block: Block) => JsonObject | null): string {
    const block = this.#blocks.get(number);
    const delta = block ? write(block) : null;
    return block && delta ? this.#delta(block.completion, delta) : '';
  }

  #finish(completion: number, finish: Finish): string {
    const { first, course } = this.#course(completion);
    const refusal = course.refused;
    return first + this.#chunk({ index: completion, delta: {}, finish_reason: finishWord(finish, { refusal }), ...nativeWord(finish) });
  }

  /** Each completion begins by naming its role. */
  #course(completion: number): { course: Course; first: string } {
    const known = this.#courses.get(completion);
    if (known) return { course: known, first: '' };
    const course = { calls: 0, thoughts: 0, refused: false };
    this.#courses.set(completion, course);
    return { course, first: this.#delta(completion, { role: 'assistant', content: '' }) };
  }

  #delta(index: number, delta: JsonObject): string {
    return this.#chunk({ index, delta, finish_reason: null });
  }

  #chunk(choice: JsonObject): string {
    return this.#event({ choices: [choice] });
  }

  #event(members: JsonObject): string {
    const { requestId, created, model } = this.#context;
    const chunk = { id: `chatcmpl-${requestId}`, object: 'chat.completion.chunk', created, model, ...members };
    return `data: ${JSON.stringify(chunk)}\n\n`;
  }
}

function deltaOf({ head, position }: Block, text: string): JsonObject | null {
  if (text === '') return null;
  switch (head.type) {
    case 'text':
      return { content: text };
    case 'refusal':
      return { refusal: text };
    case 'reasoning':
      return {
        reasoning_content: text,
        reasoning_details: reasoningDetails({ text, ...(head.id !== undefined && { id: head.id }) }, position),
      };
    case 'tool_call': {
      const inside = head.kind === 'custom' ? { custom: { input: text } } : { function: { arguments: text } };
      return { tool_calls: [{ index: position, ...inside }] };
    }
  }
}

function signatureOf({ head, position }: Block, signature: Signature): JsonObject | null {
  if (head.type === 'reasoning') {
    return { reasoning_details: reasoningDetails({ text: '', signature, ...(head.id !== undefined && { id: head.id }) }, position) };
  }
  if (head.type === 'tool_call') return { tool_calls: [{ index: position, ...extraContent(signature) }] };
  return extraContent(signature);
}

function citationOf(citation: unknown): JsonObject | null {
  const annotations = annotationsOf([citation]);
  return annotations.length > 0 ? { annotations } : null;
}
