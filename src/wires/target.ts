/** What an upstream must know of the model that it writes for. Facts live in `models/`; the operator's configuration can override them. */
export interface Target {
  /** `openai`, `groq`, a deployment's own id. */
  readonly providerId: string;
  /** The id that the provider knows the model by. */
  readonly model: string;
  readonly maxOutputTokens: number;
  readonly takesImages: boolean;
  /** PDFs, where their price can be bounded. */
  readonly takesDocuments: boolean;
  /** Whether URLs other than `data:` may go upstream. */
  readonly takesRemoteMedia: boolean;
  readonly traits: ModelTraits;
  readonly dialect: Dialect;
  /** Top-level fields that the operator lets through without a rule. */
  readonly allowParameters: readonly string[];
}

/** What a family of models takes, in whatever wire. */
export interface ModelTraits {
  /** `free`; `one`: temperature or top_p, not both; `refused`: neither (they are left out and named). */
  readonly sampling: 'free' | 'one' | 'refused';
  /** Whether a client may force a tool. */
  readonly forcesTools: boolean;
  /** How depth of thought is asked for: not at all, by a word, by a budget in tokens, or on and off. */
  readonly reasoning: 'none' | 'effort' | 'budget' | 'toggle';
  /** The words that it takes, weakest first; empty where `reasoning` is not `effort`. */
  readonly efforts: readonly string[];
  /** Whether reasoning can be turned off. */
  readonly thinksAlways: boolean;
  /** Whether it keeps to a JSON schema that is given apart from the prompt. */
  readonly takesSchema: boolean;
  /** Whether instructions may stand in the middle of a conversation (Anthropic). */
  readonly takesInlineSystem: boolean;
  /** Whether the last message may be the beginning of the answer. */
  readonly takesPrefill: boolean;
  /** OpenAI, GPT-5.4 and later: tools together with reasoning are refused on the chat wire and go by Responses. */
  readonly toolsNeedResponses: boolean;
}

/** How a provider departs from the wire that it speaks. Names are those of top-level fields. */
export interface Dialect {
  /** The one field in which it takes the output cap (chat and legacy completions). */
  readonly capField: 'max_tokens' | 'max_completion_tokens';
  /** Fields of the wire that it would refuse and that change no meaning: left out, and named as ignored. */
  readonly drops: readonly string[];
  /** Fields of the wire that it cannot take and that do change the answer: an obstacle. */
  readonly refuses: readonly string[];
  /** Harmless fields beyond the wire that it knows (`top_k`, `thinking`, `chat_template_kwargs`). */
  readonly takes: readonly string[];
  /** Whether it may store answers unless told not to (`store: false` is always sent). */
  readonly stores: boolean;
  /** Whether it knows the `developer` role. */
  readonly developerRole: boolean;
  /** Whether it takes more than one completion at a time. */
  readonly manyCompletions: boolean;
}

export const PLAIN_TRAITS: ModelTraits = {
  sampling: 'free',
  forcesTools: true,
  reasoning: 'none',
  efforts: [],
  thinksAlways: false,
  takesSchema: true,
  takesInlineSystem: true,
  takesPrefill: true,
  toolsNeedResponses: false,
};

export const PLAIN_DIALECT: Dialect = {
  capField: 'max_tokens',
  drops: [],
  refuses: [],
  takes: [],
  stores: false,
  developerRole: true,
  manyCompletions: true,
};
