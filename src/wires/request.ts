import type { PicoUsd } from '../amount.ts';
import type { EmbeddingInput, Generation } from './generation.ts';
import type { JsonObject, Operation, WireName } from './wire.ts';

/** A request's body, read: what a client sent, to be looked at, and the same to be passed on, its numbers as they were written. */
export interface ReadBody {
  readonly fields: JsonObject;
  readonly verbatim: JsonObject;
  readonly bodyBytes: number;
}

export interface ParseOptions {
  /** What `stream` means where it is absent. */
  readonly streamDefault: boolean;
  /** Fields that the operator lets through to some deployment without a rule. */
  readonly allowParameters?: ReadonlySet<string> | undefined;
  /** The request's headers, in lower case, for wires that say something there. */
  readonly headers?: Readonly<Record<string, string | string[] | undefined>> | undefined;
}

/** What the gateway must know of a request, in whatever wire it came. */
export interface InferenceRequest {
  readonly wire: WireName;
  readonly operation: Operation;
  /** As asked for; `auto` where none was. */
  readonly model: string;
  readonly stream: boolean;
  /** Whether the client asked for the usage at the end of a stream. */
  readonly includeUsage: boolean;
  /** How many completions are asked for (`n`); all of them are paid. */
  readonly completions: number;
  /** The client's own output cap in tokens; a model that gives less takes it as the most that it gives. */
  readonly outputCap: number | null;
  readonly routing: RoutingOptions;
  /** True where it is only asked who would serve the request: nothing is carried out. */
  readonly decisionOnly?: boolean;
  /** Fields without a rule, here because some deployment lets them through; only such a deployment may be called. */
  readonly unruled: readonly string[];
  /** The validated fields for an upstream of the same wire, as they were sent. What the gateway decides itself is not among them. */
  readonly fields: JsonObject;
  /** Harmless fields that only some models know (`top_k`, `chat_template_kwargs`): an upstream sends those that its target takes. */
  readonly extras: JsonObject;
  /** What the gateway itself decides on, as the client said it (`store`, `user`, `stream_options`), for upstreams of the same wire. */
  readonly own: JsonObject;
  /** A field, by its dotted path, that no other wire can say: only an upstream of the same wire may be asked. */
  readonly ownWireOnly?: string | undefined;
  readonly media: Media;
  /** Size of the body as received. */
  readonly bodyBytes: number;
  /** What its complexity is judged by. */
  facts(): Facts;
  /** The canonical request; built on first use, and never on the way to an upstream of the same wire. Only of a `generate` request. */
  generation(): Generation;
  /** Only of an `embed` request. */
  embedding(): EmbeddingInput;
}

/** How the client wants its request routed; null where it did not say. */
export interface RoutingOptions {
  readonly quality: 'high' | 'low' | null;
  readonly prefer: string | null;
  readonly maxCostPicoUsd: PicoUsd | null;
  readonly maxLatencyMs: number | null;
  readonly excludeProviders: readonly string[];
  /** The only models to choose from under `auto`, by id or alias. */
  readonly models: readonly string[] | null;
  /** The field that named them, where that is another one than `routing.models`. */
  readonly modelsParam?: string;
  /** 0 ignores the cost, 1 the quality. */
  readonly costWeight: number | null;
  readonly cascade: CascadeOptions | null;
}

/** The cheapest tier first; a dearer one while the confidence in the answer stays under the threshold. */
export interface CascadeOptions {
  /** 0 to 1. */
  readonly threshold: number;
  /** How many models may be asked in all. */
  readonly maxDepth: number;
}

/** The images and documents of a request: how many, and the dotted paths of the first of each kind. */
export interface Media {
  readonly images: number;
  readonly firstImageParam: string | null;
  /** The first one that is a URL to fetch, and not data. */
  readonly firstRemoteParam: string | null;
  readonly documents: number;
  readonly firstDocumentParam: string | null;
  /** Bytes of the documents' data as base64: a bound on what they come to. */
  readonly documentBytes: number;
}

export const NO_MEDIA: Media = {
  images: 0,
  firstImageParam: null,
  firstRemoteParam: null,
  documents: 0,
  firstDocumentParam: null,
  documentBytes: 0,
};

/** The facts of a request that asks nothing; those of one are made from these. */
export const NO_FACTS: Facts = { asked: '', turns: 1, hasTools: false, system: '', opening: '', cacheKey: null, wantsJson: false };

export interface Facts {
  /** The text of the last message of the user's. */
  readonly asked: string;
  /** Messages of the user's. */
  readonly turns: number;
  readonly hasTools: boolean;
  /** The text of the instructions: of the system's and the developer's messages. */
  readonly system: string;
  /** The text of the first message of the user's: with the instructions, what a conversation is known again by. */
  readonly opening: string;
  /** The client's own name for what a provider may have cached of the conversation. */
  readonly cacheKey: string | null;
  /** Whether the answer must be JSON, or keep to a schema. */
  readonly wantsJson: boolean;
}
