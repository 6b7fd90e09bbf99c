import { promptTokensOf, wireCount } from '../usage.ts';
import type { AnswerContext, JsonObject, SettledFigures } from '../wire.ts';
import type { WireChunk } from './wire-chunk.ts';

/** Deeper than any usage, and far from what the writer of JSON, which is recursive, could choke on. */
const MOST_DEPTH = 64;

/** The provider's last figures as they came, and the chunk that they came in. */
export interface SaidUsage {
  readonly chunk: WireChunk;
  readonly usage: unknown;
}

/** What a wire calls its chunks, and how their ids begin. */
export interface ChunkNames {
  readonly chunkName: string;
  readonly idPrefix: string;
}

const OF_A_CHAT: ChunkNames = { chunkName: 'chat.completion.chunk', idPrefix: 'chatcmpl-' };

/** The event that tells usage and cost at the end of a stream, for clients that asked for it: the provider's own, made whole. */
export function usageChunk(
  said: SaidUsage | null,
  figures: SettledFigures,
  { requestId, created, model }: AnswerContext,
  { chunkName, idPrefix }: ChunkNames = OF_A_CHAT,
): Buffer {
  const source = said && !isDeeper(said.chunk, MOST_DEPTH) ? said : null;
  const { x_groq: _said, usage: _replaced, ...own } = source?.chunk ?? {};
  const chunk = {
    ...own,
    id: textOr(own.id, `${idPrefix}${requestId}`),
    object: textOr(own.object, chunkName),
    created: typeof own.created === 'number' ? own.created : created,
    model: textOr(own.model, model),
    choices: [],
    usage: usageWithFigures(source?.usage, figures),
  };
  return Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`);
}

/** A usage in OpenAI's words with the counts that were billed and what they cost, all else as the provider said it. */
export function usageWithFigures(usage: unknown, { billed, costs }: SettledFigures): JsonObject {
  const given = typeof usage === 'object' && usage !== null ? (usage as JsonObject) : {};
  const prompt = promptTokensOf(billed);
  return {
    ...given,
    prompt_tokens: prompt,
    completion_tokens: billed.output,
    // Some count more into it than prompt and completion.
    total_tokens: Math.max(prompt + billed.output, wireCount(given['total_tokens']) ?? 0),
    ...costs,
  };
}

/** A text that says something, else `otherwise`. */
export function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}
