import type { Answer, StreamPart } from './answer.ts';
import { FreeText, freeTextOf } from './free-text.ts';
import type { Part } from './generation.ts';
import type { InferenceRequest } from './request.ts';

/** Names of the tools that the client declared as taking free text. */
export function customTools(request: InferenceRequest): ReadonlySet<string> {
  if (request.operation !== 'generate') return new Set();
  return new Set(request.generation().tools.flatMap(({ kind, name }) => (kind === 'custom' ? [name] : [])));
}

/** An answer whose calls of tools for free text are of the kind that the client declared, however the model was told of them. */
export function withCustomCalls(answer: Answer, tools: ReadonlySet<string>): Answer {
  if (tools.size === 0) return answer;
  const own = (part: Part): Part =>
    part.type === 'tool_call' && part.kind === 'function' && tools.has(part.name)
      ? { ...part, kind: 'custom', input: freeTextOf(part.input) }
      : part;
  return { ...answer, completions: answer.completions.map((one) => ({ ...one, parts: one.parts.map(own) })) };
}

/** The same for a stream: the text of such a call goes on as it comes. */
export class CustomCalls {
  readonly #tools: ReadonlySet<string>;
  #open: { readonly block: number; readonly text: FreeText } | null = null;

  constructor(tools: ReadonlySet<string>) {
    this.#tools = tools;
  }

  read(parts: readonly StreamPart[]): readonly StreamPart[] {
    return this.#tools.size === 0 ? parts : parts.flatMap((part) => this.#read(part));
  }

  #read(part: StreamPart): readonly StreamPart[] {
    if (part.type === 'block_start') return [this.#begin(part)];
    const open = this.#open;
    if (open === null || !('block' in part) || part.block !== open.block) return [part];
    if (part.type === 'delta') return delta(open.block, open.text.push(part.text));
    if (part.type !== 'block_end') return [part];
    this.#open = null;
    return [...delta(open.block, open.text.end()), part];
  }

  #begin(part: Extract<StreamPart, { type: 'block_start' }>): StreamPart {
    const { head, block } = part;
    const isWrapped = head.type === 'tool_call' && head.kind === 'function' && this.#tools.has(head.name);
    this.#open = isWrapped ? { block, text: new FreeText() } : null;
    return isWrapped ? { ...part, head: { ...head, kind: 'custom' } } : part;
  }
}

function delta(block: number, text: string): StreamPart[] {
  return text === '' ? [] : [{ type: 'delta', block, text }];
}
