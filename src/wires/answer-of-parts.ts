import type { Answer, Completion, Finish, StreamPart } from './answer.ts';
import type { Part } from './generation.ts';
import { listIn } from './json-object.ts';
import { mergeUsage, type ReportedUsage } from './usage.ts';

interface Unfinished {
  readonly index: number;
  readonly parts: Part[];
  readonly logprobs: unknown[];
  finish: Finish | undefined;
}

/** How a completion ended of which nobody says so. */
const UNSAID: Finish = { reason: 'stop' };

/** What a whole stream comes to: the answer that would have come in one piece. Signatures and citations are left out. */
export function answerOfParts(stream: readonly StreamPart[]): Answer {
  const completions = new Map<number, Unfinished>();
  const blocks = new Map<number, { parts: Part[]; at: number }>();
  let usage: ReportedUsage | null = null;
  const completionOf = (index: number): Unfinished => {
    const completion = completions.get(index) ?? { index, parts: [], logprobs: [], finish: undefined };
    completions.set(index, completion);
    return completion;
  };
  for (const part of stream) {
    if (part.type === 'block_start') {
      const { parts } = completionOf(part.completion);
      blocks.set(part.block, { parts, at: parts.length });
      parts.push(part.head.type === 'tool_call' ? { ...part.head, input: '' } : { ...part.head, text: '' });
    } else if (part.type === 'delta') {
      const block = blocks.get(part.block);
      const before = block?.parts[block.at];
      if (block && before) block.parts[block.at] = withMore(before, part.text);
    } else if (part.type === 'logprobs') completionOf(part.completion).logprobs.push(...tokensIn(part.logprobs));
    else if (part.type === 'finish') completionOf(part.completion).finish = part.finish;
    else if (part.type === 'usage') usage = mergeUsage(usage, part.usage);
  }
  return { completions: [...completions.values()].map(finished), usage };
}

function withMore(part: Part, text: string): Part {
  if (part.type === 'tool_call') return { ...part, input: part.input + text };
  return 'text' in part ? { ...part, text: part.text + text } : part;
}

/** They come in pieces, each in the words of a whole. */
function tokensIn(logprobs: unknown): readonly unknown[] {
  if (Array.isArray(logprobs)) return logprobs;
  const { content, refusal } = (logprobs ?? {}) as { content?: unknown; refusal?: unknown };
  return [...listIn(content), ...listIn(refusal)];
}

function finished({ index, parts, logprobs, finish = UNSAID }: Unfinished): Completion {
  return { index, parts, finish, ...(logprobs.length > 0 && { logprobs: { content: logprobs } }) };
}
