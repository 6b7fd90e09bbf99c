import type { Answer, StreamPart } from '../answer.ts';
import { finishWord } from '../openai-chat/chat-finish.ts';
import { usageBody } from '../openai-chat/usage-body.ts';
import { usageWithFigures } from '../openai-chat/usage-chunk.ts';
import type { InferenceRequest } from '../request.ts';
import { STREAM_DONE } from '../sse.ts';
import type { AnswerContext, Ending, JsonObject, SettledFigures, StreamWriter } from '../wire.ts';

/** An answer of any wire as a text completion. The wire has no place for thoughts; a refusal is said as text. */
export function completionsBody({ completions, usage }: Answer, context: AnswerContext): JsonObject {
  return {
    ...headOf(context),
    choices: completions.map(({ index, parts, finish }) => {
      const said = parts.map((part) => (part.type === 'text' || part.type === 'refusal' ? part.text : ''));
      return { text: said.join(''), index, logprobs: null, finish_reason: finishWord(finish, { refusal: true }) };
    }),
    ...(usage && { usage: usageBody(usage) }),
  };
}

/** Writes the parts of an answer of another wire as chunks of this one. */
export class CompletionsWriter implements StreamWriter {
  readonly #context: AnswerContext;
  readonly #includeUsage: boolean;
  /** The blocks that are shown, and the completion that each belongs to. */
  readonly #shown = new Map<number, number>();

  constructor({ includeUsage }: Pick<InferenceRequest, 'includeUsage'>, context: AnswerContext) {
    this.#includeUsage = includeUsage;
    this.#context = context;
  }

  write(part: StreamPart): string {
    if (part.type === 'block_start' && (part.head.type === 'text' || part.head.type === 'refusal')) {
      this.#shown.set(part.block, part.completion);
    } else if (part.type === 'delta') {
      const index = this.#shown.get(part.block);
      if (index !== undefined && part.text !== '') return this.#chunk(index, part.text, null);
    } else if (part.type === 'block_end') this.#shown.delete(part.block);
    else if (part.type === 'finish') return this.#chunk(part.completion, '', finishWord(part.finish, { refusal: true }));
    return '';
  }

  ending(figures: SettledFigures | null): Ending {
    if (!this.#includeUsage || !figures) return { usage: Buffer.alloc(0), last: STREAM_DONE };
    const usage = usageWithFigures(usageBody(figures.billed), figures);
    return { usage: Buffer.from(this.#event({ choices: [], usage })), last: STREAM_DONE };
  }

  #chunk(index: number, text: string, finish: string | null): string {
    return this.#event({ choices: [{ text, index, logprobs: null, finish_reason: finish }] });
  }

  #event(members: JsonObject): string {
    return `data: ${JSON.stringify({ ...headOf(this.#context), ...members })}\n\n`;
  }
}

function headOf({ requestId, created, model }: AnswerContext): JsonObject {
  return { id: `cmpl-${requestId}`, object: 'text_completion', created, model };
}
