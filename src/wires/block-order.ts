import type { BlockHead, StreamPart } from './answer.ts';

interface Pending {
  readonly head: BlockHead;
  readonly completion: number;
  /** What came while another block was open, to be said once it is this one's turn. */
  readonly held: ((block: number) => StreamPart)[];
  ended: boolean;
}

/**
 * Puts the blocks of a stream one after the other: what comes of a block while another of the same completion is open waits for its turn.
 * Blocks are known by keys of the reader's own.
 */
export class BlockOrder {
  readonly #pending = new Map<string, Pending>();
  /** The key and number of the block that is open, for each completion. */
  readonly #open = new Map<number, { key: string; block: number }>();
  #blocks = 0;

  has(key: string): boolean {
    return this.#pending.has(key);
  }

  begin(key: string, head: BlockHead, into: StreamPart[], completion = 0): void {
    const pending: Pending = { head, completion, held: [], ended: false };
    this.#pending.set(key, pending);
    if (!this.#open.has(completion)) this.#start(key, pending, into);
  }

  /** Says something of a block, now or when its turn comes. Nothing where it was not begun, or was ended. */
  say(key: string, part: (block: number) => StreamPart, into: StreamPart[]): void {
    const pending = this.#pending.get(key);
    if (!pending || pending.ended) return;
    const open = this.#open.get(pending.completion);
    if (open?.key === key) into.push(part(open.block));
    else pending.held.push(part);
  }

  delta(key: string, text: string, into: StreamPart[]): void {
    if (text !== '') this.say(key, (block) => ({ type: 'delta', block, text }), into);
  }

  end(key: string, into: StreamPart[]): void {
    const pending = this.#pending.get(key);
    if (!pending || pending.ended) return;
    pending.ended = true;
    if (this.#open.get(pending.completion)?.key === key) this.#close(pending.completion, into);
  }

  /** Ends every block of a completion, or of all of them. */
  endAll(into: StreamPart[], completion?: number): void {
    for (const [key, pending] of this.#pending) if (completion === undefined || pending.completion === completion) this.end(key, into);
  }

  #start(key: string, { head, completion, held }: Pending, into: StreamPart[]): void {
    const block = this.#blocks++;
    this.#open.set(completion, { key, block });
    into.push({ type: 'block_start', block, completion, head }, ...held.map((part) => part(block)));
  }

  /** Ends the open block, and begins the next that waits; those that have ended meanwhile are said whole. */
  #close(completion: number, into: StreamPart[]): void {
    for (let open = this.#open.get(completion); open; open = this.#open.get(completion)) {
      if (!this.#pending.get(open.key)?.ended) return;
      into.push({ type: 'block_end', block: open.block });
      this.#pending.delete(open.key);
      this.#open.delete(completion);
      for (const [key, pending] of this.#pending) {
        if (pending.completion !== completion) continue;
        this.#start(key, pending, into);
        break;
      }
    }
  }
}
