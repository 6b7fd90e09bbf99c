import type { Completion, StreamPart } from '../../src/wires/answer.ts';
import type { Part } from '../../src/wires/generation.ts';
import { mergeUsage, type ReportedUsage } from '../../src/wires/usage.ts';

/** What a whole stream comes to. */
export interface Collected {
  readonly model: string | undefined;
  readonly completions: Completion[];
  readonly usage: ReportedUsage | null;
  readonly failure: unknown;
  readonly done: boolean;
}

/** Puts the parts of a stream together again, and throws where they break the rules of their order. */
export function collectParts(stream: readonly StreamPart[]): Collected {
  const completions = new Map<number, { index: number; parts: Part[]; finish?: Completion['finish']; logprobs?: unknown }>();
  const open = new Map<number, { completion: number; at: number }>();
  let [nextBlock, model, usage, failure, done]: [number, string | undefined, ReportedUsage | null, unknown, boolean] = [
    0,
    undefined,
    null,
    undefined,
    false,
  ];
  const completionOf = (index: number) => {
    const completion = completions.get(index) ?? { index, parts: [] };
    completions.set(index, completion);
    return completion;
  };
  const change = (block: number, by: (part: Part) => Part): void => {
    const place = open.get(block);
    if (!place) throw new Error(`block ${block} is not open`);
    const { parts } = completionOf(place.completion);
    parts[place.at] = by(parts[place.at] as Part);
  };
  for (const part of stream) {
    if (done || failure !== undefined) throw new Error(`${part.type} after the end`);
    if (part.type === 'start') model = part.model;
    else if (part.type === 'block_start') {
      const completion = completionOf(part.completion);
      if (completion.finish) throw new Error('a block after the finish');
      if (part.block !== nextBlock++) throw new Error(`block ${part.block} is out of turn`);
      if ([...open.values()].some((other) => other.completion === part.completion)) throw new Error('blocks overlap');
      open.set(part.block, { completion: part.completion, at: completion.parts.length });
      const { head } = part;
      completion.parts.push(head.type === 'tool_call' ? { ...head, input: '' } : { ...head, text: '' });
    } else if (part.type === 'delta') {
      if (part.text === '') throw new Error('an empty delta');
      change(part.block, (before) =>
        before.type === 'tool_call'
          ? { ...before, input: before.input + part.text }
          : ({ ...before, text: (before as { text: string }).text + part.text } as Part),
      );
    } else if (part.type === 'signature') change(part.block, (before) => ({ ...before, signature: part.signature }) as Part);
    else if (part.type === 'citation') {
      change(part.block, (before) =>
        before.type === 'text' ? { ...before, citations: [...(before.citations ?? []), part.citation] } : before,
      );
    } else if (part.type === 'block_end') {
      if (!open.delete(part.block)) throw new Error(`block ${part.block} ends twice`);
    } else if (part.type === 'usage') usage = mergeUsage(usage, part.usage);
    else if (part.type === 'logprobs') completionOf(part.completion).logprobs = part.logprobs;
    else if (part.type === 'finish') {
      const completion = completionOf(part.completion);
      if (completion.finish) throw new Error('finished twice');
      completion.finish = part.finish;
    } else if (part.type === 'failed') failure = part.failure;
    else if (part.type === 'done') done = true;
  }
  if (done && open.size > 0) throw new Error('a block was left open');
  return { model, completions: [...completions.values()] as Completion[], usage, failure, done };
}
