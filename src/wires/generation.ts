import type { JsonObject, WireName } from './wire.ts';

/**
 * A request for a completion that is none of the wires: what they have in common, in words of its own. Surfaces read it from their requests,
 * upstreams write theirs from it. What a wire cannot say is an obstacle, or is named as ignored; nothing is dropped silently.
 */
export interface Generation {
  /** The instructions that stand before the conversation (system and developer messages at its beginning). */
  readonly system: readonly TextPart[];
  readonly messages: readonly Message[];
  readonly tools: readonly Tool[];
  readonly toolChoice: ToolChoice | null;
  /** False: one call at a time. Null: the model's default. */
  readonly parallelToolCalls: boolean | null;
  readonly format: Format | null;
  readonly sampling: Sampling;
  readonly stop: readonly string[];
  readonly reasoning: ReasoningSettings | null;
  /** `low`, `medium`, `high`; null where not said. */
  readonly verbosity: string | null;
  /** How many alternatives to each token's own log probability; null where none are wanted. */
  readonly logprobs: number | null;
  readonly logitBias: Readonly<Record<string, number>> | null;
  /** Whether the client named its end user; upstreams say the account's hash in its place. */
  readonly namesUser: boolean;
  readonly cacheKey: string | null;
  /** Names of harmless fields that have no place here: always named as ignored. */
  readonly unsaid: readonly string[];
}

/** A turn. Results of tools are parts of a user's message. Messages of the same role may follow each other. */
export interface Message {
  /** `system`: instructions in the middle of the conversation. */
  readonly role: 'user' | 'assistant' | 'system';
  readonly parts: readonly Part[];
  readonly name?: string | undefined;
}

export type Part = TextPart | ImagePart | DocumentPart | ReasoningPart | RefusalPart | ToolCallPart | ToolResultPart;

/** Marks the end of a prefix that is worth caching; `1h` where that lifetime was asked for. */
export type CacheMark = '5m' | '1h';

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
  readonly cache?: CacheMark | undefined;
  /** In answers: what the text rests on, as the provider words it. */
  readonly citations?: readonly unknown[] | undefined;
  /** Some providers sign plain text too. */
  readonly signature?: Signature | undefined;
}

export type MediaSource =
  { readonly kind: 'data'; readonly mediaType: string; readonly base64: string } | { readonly kind: 'url'; readonly url: string };

export interface ImagePart {
  readonly type: 'image';
  readonly source: MediaSource;
  readonly detail?: string | undefined;
  readonly cache?: CacheMark | undefined;
  /** Dotted path in the client's request, for complaints. */
  readonly param?: string | undefined;
}

/** A PDF, or plain text as a document. */
export interface DocumentPart {
  readonly type: 'document';
  readonly source: MediaSource | { readonly kind: 'text'; readonly text: string };
  readonly title?: string | undefined;
  readonly cache?: CacheMark | undefined;
  readonly param?: string | undefined;
}

/** A proof or a sealed form of what a model thought. Worth something to the wire that made it, and to no other. */
export interface Signature {
  readonly wire: WireName;
  readonly value: string;
}

export interface ReasoningPart {
  readonly type: 'reasoning';
  /** '' where it is sealed or left out. */
  readonly text: string;
  readonly signature?: Signature | undefined;
  /** In place of text: thoughts that only their provider can read. */
  readonly redacted?: Signature | undefined;
  /** The id of a Responses item. */
  readonly id?: string | undefined;
}

export interface RefusalPart {
  readonly type: 'refusal';
  readonly text: string;
}

export interface ToolCallPart {
  readonly type: 'tool_call';
  /** '' where the provider gave none. */
  readonly id: string;
  readonly name: string;
  /** JSON text, as it was written; '' means no arguments. Of a `custom` tool: its free text. */
  readonly input: string;
  readonly kind: 'function' | 'custom';
  readonly signature?: Signature | undefined;
  readonly cache?: CacheMark | undefined;
}

export interface ToolResultPart {
  readonly type: 'tool_result';
  readonly callId: string;
  /** Of the tool, where the wire says it or an earlier call told it. */
  readonly name?: string | undefined;
  readonly parts: readonly (TextPart | ImagePart | DocumentPart)[];
  readonly isError: boolean;
  readonly cache?: CacheMark | undefined;
}

export interface Tool {
  readonly kind: 'function' | 'custom';
  readonly name: string;
  readonly description?: string | undefined;
  /** A JSON schema; undefined for a tool without parameters, and for `custom` tools. */
  readonly parameters?: JsonObject | undefined;
  /** A `custom` tool's grammar, as OpenAI words it: `syntax` and `definition`. */
  readonly grammar?: unknown;
  readonly strict?: boolean | undefined;
  readonly cache?: CacheMark | undefined;
}

/** `name`: that tool has to be called. `allowed` narrows `auto` and `required` to some of the tools. */
export type ToolChoice =
  | { readonly mode: 'auto' | 'none' | 'required'; readonly allowed?: readonly string[] | undefined }
  | { readonly mode: 'named'; readonly name: string };

export type Format =
  | { readonly type: 'json' }
  | {
      readonly type: 'schema';
      readonly name: string;
      readonly schema: JsonObject;
      readonly description?: string | undefined;
      readonly strict?: boolean | undefined;
    };

/** Undefined where the client did not say. */
export interface Sampling {
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly seed?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
}

export interface ReasoningSettings {
  /** `none` to `max`, in the client's word; null where it gave a budget, or nothing. */
  readonly effort: string | null;
  readonly budgetTokens: number | null;
  /** Whether the thoughts, or a summary of them, are to be shown; null where not said. */
  readonly show: boolean | null;
  /** Whether the sealed form is wanted back (Responses' `reasoning.encrypted_content`). */
  readonly sealed: boolean;
}

/** What is to be embedded. */
export interface EmbeddingInput {
  /** Texts, or lists of OpenAI's token numbers. */
  readonly inputs: readonly (string | readonly number[])[];
  readonly dimensions: number | null;
  readonly encoding: 'float' | 'base64';
  readonly namesUser: boolean;
}
