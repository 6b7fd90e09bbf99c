import { FREE_TEXT } from '../free-text.ts';
import type { BlockHead, Finish, StreamPart } from '../answer.ts';
import type { Signature } from '../generation.ts';
import { signatureText } from '../signature.ts';
import { ZERO_USAGE, type ReportedUsage } from '../usage.ts';
import type { AnswerContext, Ending, JsonObject, SettledFigures, StreamWriter } from '../wire.ts';
import { citationToWire, messageHead, toolUseId } from './body.ts';
import { finishToWire } from './finish.ts';
import { sealedBlock, signsPrevious } from './marks.ts';
import { knownUsage, usageToWire } from './usage.ts';

const EMPTY = Buffer.alloc(0);

/** The block that is open, and what is to be said of it when it ends. */
interface OpenBlock {
  readonly head: BlockHead;
  signs: Signature | undefined;
}

/**
 * Writes a stream as the Messages API does, its order exact: https://docs.anthropic.com/en/api/messages-streaming. The reason why it ended
 * goes out with the usage once all of that is known: at the end, or after the settlement where only our own count can tell.
 */
export class MessagesWriter implements StreamWriter {
  readonly #context: AnswerContext;
  #started = false;
  #open: OpenBlock | null = null;
  #blocks = 0;
  #usage: ReportedUsage | null = null;
  #finish: Finish = { reason: 'stop' };
  #saidUsage = false;

  constructor(context: AnswerContext) {
    this.#context = context;
  }

  write(part: StreamPart): string {
    const begun = this.#begin();
    return begun + this.#say(part);
  }

  ending(figures: SettledFigures | null): Ending {
    const usage = this.#saidUsage ? '' : this.#begin() + this.#messageDelta(figures);
    return { usage: usage === '' ? EMPTY : Buffer.from(usage), last: Buffer.from(eventText('message_stop', {})) };
  }

  #begin(): string {
    if (this.#started) return '';
    this.#started = true;
    const usage = usageToWire({ ...ZERO_USAGE, input: this.#context.promptTokens });
    const head = { ...messageHead(this.#context), content: [], stop_reason: null, stop_sequence: null, usage };
    return eventText('message_start', { message: head });
  }

  #say(part: StreamPart): string {
    switch (part.type) {
      case 'block_start':
        return this.#beginBlock(part.block, part.head);
      case 'delta':
        return this.#delta(part.text);
      case 'signature':
        return this.#sign(part.signature);
      case 'citation': {
        const citation = citationToWire(part.citation);
        return citation && this.#open?.head.type === 'text' ? this.#blockDelta({ type: 'citations_delta', citation }) : '';
      }
      case 'block_end':
        return this.#endBlock();
      case 'usage':
        this.#usage = part.usage;
        return '';
      case 'finish':
        this.#finish = part.finish;
        return '';
      case 'done':
        // A message that holds nothing has to say at once that it is finished.
        return this.#usage || this.#blocks === 0 ? this.#messageDelta(null) : '';
      case 'start':
      case 'logprobs':
      case 'failed':
        return '';
    }
  }

  #beginBlock(number: number, head: BlockHead): string {
    const ended = this.#endBlock();
    this.#open = { head, signs: head.type === 'tool_call' ? head.signature : undefined };
    const begun = ended + this.#blockStart(this.#blockOf(number, head));
    return head.type === 'tool_call' && head.kind === 'custom' ? begun + this.#inputDelta(`{"${FREE_TEXT}":"`) : begun;
  }

  #blockOf(number: number, head: BlockHead): JsonObject {
    switch (head.type) {
      case 'text':
      case 'refusal':
        return { type: 'text', text: '' };
      case 'reasoning':
        return head.redacted ? sealedBlock(head.redacted) : { type: 'thinking', thinking: '', signature: '' };
      case 'tool_call':
        return { type: 'tool_use', id: toolUseId(head.id, number, this.#context), name: head.name, input: {} };
    }
  }

  #delta(text: string): string {
    const head = this.#open?.head;
    if (!head || text === '') return '';
    switch (head.type) {
      case 'text':
      case 'refusal':
        return this.#blockDelta({ type: 'text_delta', text });
      case 'reasoning':
        return head.redacted ? '' : this.#blockDelta({ type: 'thinking_delta', thinking: text });
      case 'tool_call':
        return this.#inputDelta(head.kind === 'custom' ? JSON.stringify(text).slice(1, -1) : text);
    }
  }

  #inputDelta(json: string): string {
    return this.#blockDelta({ type: 'input_json_delta', partial_json: json });
  }

  #sign(signature: Signature): string {
    const open = this.#open;
    if (open?.head.type === 'reasoning') {
      if (open.head.redacted) return '';
      return this.#blockDelta({ type: 'signature_delta', signature: signatureText(signature, 'anthropic-messages') });
    }
    if (open) open.signs = signature;
    return '';
  }

  #endBlock(): string {
    const open = this.#open;
    if (!open) return '';
    const isFreeText = open.head.type === 'tool_call' && open.head.kind === 'custom';
    const ended = (isFreeText ? this.#inputDelta('"}') : '') + this.#blockStop();
    this.#open = null;
    return open.signs ? ended + this.#blockStart(signsPrevious(open.signs)) + this.#blockStop() : ended;
  }

  #blockStart(block: JsonObject): string {
    return eventText('content_block_start', { index: this.#blocks++, content_block: block });
  }

  #blockDelta(delta: JsonObject): string {
    return eventText('content_block_delta', { index: this.#blocks - 1, delta });
  }

  #blockStop(): string {
    return eventText('content_block_stop', { index: this.#blocks - 1 });
  }

  #messageDelta(figures: SettledFigures | null): string {
    this.#saidUsage = true;
    const usage = { ...usageToWire(figures?.billed ?? knownUsage(this.#usage)), ...figures?.costs };
    return this.#endBlock() + eventText('message_delta', { delta: finishToWire(this.#finish), usage });
  }
}

function eventText(type: string, members: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`;
}
