import type { Part, Signature } from './generation.ts';
import type { ReportedUsage } from './usage.ts';

/** An answer that is none of the wires. */
export interface Answer {
  readonly completions: readonly Completion[];
  readonly usage: ReportedUsage | null;
  /** Of an `embed` request: a vector for each input; base64 of little-endian 32-bit floats where the provider was asked for that. */
  readonly embeddings?: readonly (readonly number[] | string)[] | undefined;
}

export interface Completion {
  readonly index: number;
  /** Text, reasoning, refusals and tool calls, in the order they were written. */
  readonly parts: readonly Part[];
  readonly finish: Finish;
  /** OpenAI's `logprobs` of a choice, where asked for. */
  readonly logprobs?: unknown;
}

/**
 * Why a completion ended. `tool_calls`: the client is to run tools. `refusal`: the model would not, as against `content_filter`, where
 * something in front of or behind the model would not. `pause`: to be sent back unchanged. `error`: broken off by the model's own fault
 * (a malformed call).
 */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'refusal' | 'pause' | 'error';

export interface Finish {
  readonly reason: FinishReason;
  /** Which of the client's stop sequences ended it, where the provider tells. */
  readonly stopSequence?: string | undefined;
  /** The provider's own word for it. */
  readonly native?: string | undefined;
}

/** A block of an answer that comes in pieces: the part that it will be, with what is known at its beginning. */
export type BlockHead =
  | { readonly type: 'text' }
  | { readonly type: 'reasoning'; readonly id?: string | undefined; readonly redacted?: Signature | undefined }
  | { readonly type: 'refusal' }
  | {
      readonly type: 'tool_call';
      readonly id: string;
      readonly name: string;
      readonly kind: 'function' | 'custom';
      readonly signature?: Signature | undefined;
    };

/**
 * A stream in pieces. Blocks of one completion never overlap: a reader ends one before it begins the next (parallel tool calls whose pieces
 * come mixed are put in order by the reader). `block` counts up from 0 over the whole stream. Of `usage`, later figures count for the whole
 * answer so far. `finish` comes once for a completion, after its blocks; `done` once, at the end of a whole stream; `failed` is the last.
 */
export type StreamPart =
  | { readonly type: 'start'; readonly model?: string | undefined }
  | { readonly type: 'block_start'; readonly block: number; readonly completion: number; readonly head: BlockHead }
  | { readonly type: 'delta'; readonly block: number; readonly text: string }
  | { readonly type: 'signature'; readonly block: number; readonly signature: Signature }
  | { readonly type: 'citation'; readonly block: number; readonly citation: unknown }
  | { readonly type: 'logprobs'; readonly completion: number; readonly logprobs: unknown }
  | { readonly type: 'block_end'; readonly block: number }
  | { readonly type: 'usage'; readonly usage: ReportedUsage }
  | { readonly type: 'finish'; readonly completion: number; readonly finish: Finish }
  | { readonly type: 'failed'; readonly failure: unknown }
  | { readonly type: 'done' };
