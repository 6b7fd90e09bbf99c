import type { StreamPart } from '../answer.ts';
import type { Signature, ToolCallPart } from '../generation.ts';
import { member } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import type { CallIds } from './call-ids.ts';
import { finishOf } from './finish.ts';
import { logprobsFromWire } from './logprobs.ts';
import { PartialArgs, willContinue } from './partial-args.ts';
import { partFromWire, type Candidate } from './response.ts';

/** What all completions of a stream have in common. */
export interface StreamState {
  readonly ids: CallIds;
  /** The number of the next block. */
  blocks: number;
}

/** One completion of a stream: its pieces as blocks, one after the other. */
export class CompletionParts {
  readonly #index: number;
  readonly #stream: StreamState;
  #open: { readonly type: 'text' | 'reasoning'; readonly block: number } | null = null;
  /** A call whose arguments come in pieces. */
  #call: { readonly head: ToolCallPart; readonly args: PartialArgs } | null = null;
  #callsTools = false;
  #finishReason: string | null = null;

  constructor(index: number, stream: StreamState) {
    this.#index = index;
    this.#stream = stream;
  }

  /** Whether the model has said why it ended. It may say so more than once, and go on afterwards. */
  get hasFinished(): boolean {
    return this.#finishReason !== null;
  }

  push(candidate: Candidate): StreamPart[] {
    const parts = candidate.parts.flatMap((part) => this.#take(part));
    const logprobs = logprobsFromWire(candidate.logprobs);
    if (logprobs !== undefined) parts.push({ type: 'logprobs', completion: this.#index, logprobs });
    this.#finishReason = candidate.finishReason ?? this.#finishReason;
    return parts;
  }

  /** The stream has ended. */
  finish(): StreamPart[] {
    const finish = (): StreamPart => ({
      type: 'finish',
      completion: this.#index,
      finish: finishOf(this.#finishReason, this.#callsTools),
    });
    return [...this.#endCall(), ...this.#close(), finish()];
  }

  #take(wirePart: JsonObject): StreamPart[] {
    const call = wirePart['functionCall'];
    if (this.#call && typeof call === 'object' && call !== null && member(call, 'name') === undefined) return this.#goOn(call);
    const part = partFromWire(wirePart, this.#index, this.#stream.ids);
    if (!part) return [];
    if (part.type === 'text' || part.type === 'reasoning')
      return [...this.#endCall(), ...this.#write(part.type, part.text, part.signature)];
    if (part.type !== 'tool_call') return [];
    const before = [...this.#endCall(), ...this.#close()];
    if (!willContinue(call)) return [...before, ...this.#wholeCall(part)];
    this.#call = { head: part, args: new PartialArgs() };
    this.#call.args.add(member(call, 'partialArgs'));
    return before;
  }

  /** More of the open call: its pieces, and in the last one, perhaps, nothing but that it is the last. */
  #goOn(call: object): StreamPart[] {
    this.#call?.args.add(member(call, 'partialArgs'));
    return willContinue(call) ? [] : this.#endCall();
  }

  #endCall(): StreamPart[] {
    if (!this.#call) return [];
    const { head, args } = this.#call;
    this.#call = null;
    return this.#wholeCall({ ...head, input: args.text() || head.input });
  }

  #wholeCall({ id, name, kind, input, signature }: ToolCallPart): StreamPart[] {
    this.#callsTools = true;
    const block = this.#stream.blocks++;
    const head = { type: 'tool_call' as const, id, name, kind, ...(signature && { signature }) };
    return [
      { type: 'block_start', block, completion: this.#index, head },
      ...(input === '' ? [] : [{ type: 'delta' as const, block, text: input }]),
      { type: 'block_end', block },
    ];
  }

  /**
   * A signature ends the block that it signs. On a text of nothing it is of the block that is open; where none is, it stands alone, as
   * thoughts without words.
   */
  #write(type: 'text' | 'reasoning', text: string, signature: Signature | undefined): StreamPart[] {
    if (text === '' && !signature) return [];
    const parts: StreamPart[] = [];
    if (text === '' ? !this.#open : this.#open?.type !== type) {
      parts.push(...this.#close());
      const block = this.#stream.blocks++;
      this.#open = { type: text === '' ? 'reasoning' : type, block };
      parts.push({ type: 'block_start', block, completion: this.#index, head: { type: this.#open.type } });
    }
    const block = this.#open?.block ?? 0;
    if (text !== '') parts.push({ type: 'delta', block, text });
    if (signature) parts.push({ type: 'signature', block, signature }, ...this.#close());
    return parts;
  }

  #close(): StreamPart[] {
    if (!this.#open) return [];
    const { block } = this.#open;
    this.#open = null;
    return [{ type: 'block_end', block }];
  }
}
