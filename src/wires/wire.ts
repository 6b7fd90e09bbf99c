import type { GatewayError } from '../errors.ts';
import type { Answer, StreamPart } from './answer.ts';
import type { InferenceRequest, ParseOptions, ReadBody } from './request.ts';
import type { Target } from './target.ts';
import type { ReportedUsage, Usage } from './usage.ts';
import type { Written } from './written.ts';

/** The contract between surfaces, which clients speak, and upstreams, which providers speak. They meet in `translate.ts` alone. */

export type WireName =
  | 'openai-chat'
  | 'openai-completions'
  | 'openai-responses'
  | 'openai-embeddings'
  | 'anthropic-messages'
  | 'gemini-generate'
  | 'gemini-embed';

export type Operation = 'generate' | 'embed';
export type JsonObject = Record<string, unknown>;

/** The client's side of a wire. */
export interface Surface {
  readonly wire: WireName;
  readonly operation: Operation;
  /** The header in which this wire's clients look for the request's id, besides `X-Pura-Request-Id`. */
  readonly requestIdHeader?: string;
  /** Reads a request. Throws GatewayError `invalid_request` or `unknown_parameter`, with the field's dotted path in `param`. */
  parse(body: ReadBody, options: ParseOptions): InferenceRequest;
  /** An answer that came in another wire, as this wire's JSON body. */
  body(answer: Answer, request: InferenceRequest, context: AnswerContext): JsonObject;
  /** A JSON body of this wire with the billed counts and the costs in its usage, all else as it is. */
  withFigures(body: JsonObject, figures: SettledFigures, context: AnswerContext): JsonObject;
  /** Writes the parts of a stream that comes in another wire as this wire's events. */
  writer(request: InferenceRequest, context: AnswerContext): StreamWriter;
  /** What is told in a stream beyond what the wire has, whoever writes it. Absent on most: their streams go out as they are. */
  retold?(reader: StreamReader, context: AnswerContext): StreamReader;
  /** Reads the events that were handed to the client, for our own count of them. */
  readonly events: EventReading;
  /** An error as the whole body of an answer. */
  errorBody(error: ErrorObject, requestId: string): JsonObject;
  /** An error as the last events of a stream. */
  errorEvents(error: ErrorObject, requestId: string): string;
}

/** A provider's side of a wire. */
export interface Upstream {
  readonly wire: WireName;
  readonly operation: Operation;
  /** What the provider cannot say or take of a request. Found before the hold; under `auto` another candidate may do. */
  obstacle(request: InferenceRequest, target: Target): GatewayError | null;
  /** The request as the provider will hear it. Never fails where there is no obstacle. */
  render(request: InferenceRequest, target: Target): Rendering;
  /** Reads the JSON body of an answer with a status of success. Some wires only know with the request whether it is whole. */
  read(body: unknown, request?: InferenceRequest): AnswerRead;
  /** Watches a stream that goes to a client of the same wire, its bytes untouched. */
  reader(context: AnswerContext): StreamReader;
  /** Takes a stream apart for a client of another wire. */
  parts(): PartReader;
}

/** A request as one provider's model will hear it, made from scratch: nothing of it is what a client merely happened to send. */
export interface Rendering {
  /** Below the provider's base URL for this wire, e.g. `/chat/completions`. */
  readonly path: string;
  /** Names and values in turn: more headers than the provider's own. */
  readonly headers: readonly string[];
  /** Accepted fields that the model cannot take and that change no meaning: the client is told their names. */
  readonly ignored: readonly string[];
  /** Whether it asks for something to be cached for an hour or more, which has a price of its own. */
  readonly cachesLong?: boolean;
  /** All that the model reads of what is sent, with the data of images and documents left out: the hold counts this. */
  promptText(): string;
  /**
   * The body to send.
   * @param outputTokens the cap on each completion; 0 for embeddings.
   * @param accountHash stands for the account wherever a client named its end user.
   */
  body(outputTokens: number, accountHash: string): Buffer;
}

/** What a JSON answer says. */
export interface AnswerRead {
  /** What the provider tells of a failure in place of an answer; undefined where it tells of none. */
  readonly failure: unknown;
  /** Whether it holds something that a model wrote, or says that it is finished. */
  readonly isAnswer: boolean;
  readonly usage: ReportedUsage | null;
  /** Everything that a model wrote, for our own count. */
  written(): Written;
  /** The whole of it in the canonical form, for a client of another wire. */
  answer(): Answer;
}

/** Facts of one answer that its provider does not decide. */
export interface AnswerContext {
  readonly requestId: string;
  /** The model that answers, as clients call it. */
  readonly model: string;
  /** Unix seconds. */
  readonly created: number;
  /** Our own count of the prompt, for what must be said before the provider has counted. */
  readonly promptTokens: number;
  /** What the router decided, for surfaces that tell it. */
  readonly routing?: () => JsonObject;
}

/** What was billed, and the members that `usage` is extended with: costs in USD and msat, latencies. */
export interface SettledFigures {
  readonly billed: Usage;
  readonly costs: Readonly<Record<string, number | null>>;
}

/** Bytes of a stream in, whole events of the client's wire out. */
export interface StreamReader {
  /** Throws SseTooLongError where one event passes the limit. */
  push(chunk: Buffer): Seen;
  /** The connection ended. */
  finish(): Seen;
  /** What ends the stream, once it is settled. Asked once, after a stream that ended whole. */
  ending(figures: SettledFigures | null): Ending;
}

/** What a piece of a stream comes to. */
export interface Seen {
  /** Whole events to hand on now. On the same wire they share memory with the chunk they came in. */
  readonly forward: Buffer;
  /** The provider's figures in them (or withheld), in order. */
  readonly usages: readonly UsageSeen[];
  /** What the provider said of its failure; neither it nor what follows it is handed on. */
  readonly failure?: unknown;
  /** True once nothing more counts: the wire's end marker, or a failure, was seen. */
  readonly done: boolean;
  /** True where why the answer ended is among what is withheld: telling that is a delivery, though nothing was written. */
  readonly finished?: boolean | undefined;
}

export interface UsageSeen {
  readonly usage: ReportedUsage;
  /** True where the event said nothing else and was withheld. */
  readonly alone: boolean;
  /** How many bytes of `forward` came before it, its own event included. */
  readonly offset: number;
}

/** The events that were withheld until the settlement. The settled comment goes between the two, into the first line of `last`. */
export interface Ending {
  /** Only for clients that asked for it. */
  readonly usage: Buffer;
  /** One block, e.g. `data: [DONE]` or `message_stop`. */
  readonly last: Buffer;
}

/** A provider's stream, taken apart. */
export interface PartReader {
  push(chunk: Buffer): StreamPart[];
  /** The connection ended: what was left, and `done` where the answer was whole. */
  finish(): StreamPart[];
}

/** Parts in, text of whole events out; '' where nothing can be said yet. Neither `usage`, `failed` nor `done` has to be answered at once. */
export interface StreamWriter {
  write(part: StreamPart): string;
  ending(figures: SettledFigures | null): Ending;
}

/** Reads events of a surface's own wire. */
export interface EventReading {
  /** Whether they hold anything whose handing on counts as delivery: something that a model wrote, or a finish reason. */
  isDelivery(events: Buffer): boolean;
  read(events: Buffer, into: Progress): void;
}

/** How far an answer has come: what was written, and which of its completions were begun and finished. */
export interface Progress {
  readonly written: Written;
  readonly open: Set<unknown>;
  readonly finished: Set<unknown>;
}

/** An error as OpenAI's clients know it; surfaces of other wires put it in their own words. */
export interface ErrorObject {
  readonly error: Readonly<JsonObject>;
}
