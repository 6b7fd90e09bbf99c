import type { BlockHead, StreamPart } from '../answer.ts';
import type { BlockOrder } from '../block-order.ts';
import type { Signature } from '../generation.ts';

/** A piece of a tool call. Names may come in pieces, ids late or never. */
export interface CallPiece {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly kind?: 'function' | 'custom' | undefined;
  readonly input?: string | undefined;
  readonly signature?: Signature | undefined;
}

/** What is known of a call so far. */
interface Call {
  readonly block: string;
  readonly position: number;
  id: string;
  name: string;
  kind: 'function' | 'custom';
  input: string;
  signature: Signature | undefined;
  begun: boolean;
  ended: boolean;
}

/**
 * The pieces of one completion as they come on this wire, which marks no block's beginning or end. Text lasts until something else comes. A
 * call begins once its name is known to be whole, and ends once its arguments are: until then more of it may follow.
 */
export class PieceOrder {
  readonly #completion: number;
  readonly #blocks: BlockOrder;
  readonly #madeId: (position: number) => string;
  /** By the reader's keys: the calls that pieces may still come for. */
  readonly #calls = new Map<string, Call>();
  readonly #unfinished = new Set<Call>();
  #text: { key: string; block: string } | null = null;
  #texts = 0;
  #count = 0;
  #lastKey: string | undefined;

  /** @param madeId an id for the call at that place that came without one. */
  constructor(completion: number, blocks: BlockOrder, madeId: (position: number) => string) {
    this.#completion = completion;
    this.#blocks = blocks;
    this.#madeId = madeId;
  }

  /** How many calls have come. */
  get calls(): number {
    return this.#count;
  }

  /** The key of the call that the last piece was for. */
  get lastCall(): string | undefined {
    return this.#lastKey;
  }

  /** A piece of text, thoughts or a refusal. Pieces of the same key in a row are one block. */
  text(key: string, head: BlockHead, text: string, into: StreamPart[]): void {
    this.#blocks.delta(this.#textBlock(key, head, into), text, into);
  }

  signature(key: string, head: BlockHead, signature: Signature, into: StreamPart[]): void {
    this.#blocks.say(this.#textBlock(key, head, into), (block) => ({ type: 'signature', block, signature }), into);
  }

  citation(key: string, head: BlockHead, citation: unknown, into: StreamPart[]): void {
    this.#blocks.say(this.#textBlock(key, head, into), (block) => ({ type: 'citation', block, citation }), into);
  }

  /** A block that has no text. */
  whole(head: BlockHead, into: StreamPart[]): void {
    this.#textBlock('', head, into);
    this.#endText(into);
  }

  /** A piece of a call. A name that is said again is no piece of it; another id with a name is another call. */
  call(key: string, piece: CallPiece, into: StreamPart[]): void {
    this.#lastKey = key;
    let call = this.#calls.get(key);
    if (!call || (piece.name && piece.id && call.id !== '' && call.id !== piece.id)) {
      this.#endText(into);
      this.#endWholeCalls(into);
      call = this.#newCall();
      this.#calls.set(key, call);
    }
    if (call.id === '') call.id = piece.id ?? '';
    if (!call.begun && piece.name !== call.name) call.name += piece.name ?? '';
    call.kind = piece.kind ?? call.kind;
    call.signature ??= piece.signature;
    if (!piece.input || call.ended) return;
    call.input += piece.input;
    this.#begin(call, into);
    this.#blocks.delta(call.block, piece.input, into);
    // Others wait for this one alone.
    if (this.#unfinished.size > 1 && isWhole(call)) this.#endCall(call, into);
  }

  /** Nothing more comes. */
  end(into: StreamPart[]): void {
    for (const call of this.#unfinished) this.#begin(call, into);
    this.#unfinished.clear();
    this.#blocks.endAll(into, this.#completion);
  }

  #newCall(): Call {
    const position = this.#count++;
    const block = `${this.#completion} call ${position}`;
    const call: Call = { block, position, id: '', name: '', kind: 'function', input: '', signature: undefined, begun: false, ended: false };
    this.#unfinished.add(call);
    return call;
  }

  #textBlock(key: string, head: BlockHead, into: StreamPart[]): string {
    if (this.#text?.key === key) return this.#text.block;
    this.#endText(into);
    this.#endWholeCalls(into);
    // Calls keep their place before what comes after them.
    for (const call of this.#unfinished) this.#begin(call, into);
    this.#text = { key, block: `${this.#completion} text ${this.#texts++}` };
    this.#blocks.begin(this.#text.block, head, into, this.#completion);
    return this.#text.block;
  }

  #endText(into: StreamPart[]): void {
    if (this.#text) this.#blocks.end(this.#text.block, into);
    this.#text = null;
  }

  #endWholeCalls(into: StreamPart[]): void {
    for (const call of this.#unfinished) if (isWhole(call)) this.#endCall(call, into);
  }

  #endCall(call: Call, into: StreamPart[]): void {
    this.#begin(call, into);
    call.ended = true;
    this.#unfinished.delete(call);
    this.#blocks.end(call.block, into);
  }

  #begin(call: Call, into: StreamPart[]): void {
    if (call.begun) return;
    // Those before it have their names by now.
    for (const earlier of this.#unfinished) if (earlier.position < call.position) this.#begin(earlier, into);
    call.begun = true;
    const { id, name, kind, signature, position } = call;
    const head: BlockHead = { type: 'tool_call', id: id || this.#madeId(position), name, kind, ...(signature && { signature }) };
    this.#blocks.begin(call.block, head, into, this.#completion);
  }
}

/** Whether nothing more can come: arguments are a JSON object, which is closed. */
function isWhole({ kind, input }: Call): boolean {
  if (kind === 'custom' || !/\}\s*$/.test(input.slice(-16))) return false;
  try {
    JSON.parse(input);
    return true;
  } catch {
    return false;
  }
}
