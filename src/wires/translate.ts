import { CustomCalls, customTools, withCustomCalls } from './custom-calls.ts';
import type { InferenceRequest } from './request.ts';
import type {
  AnswerContext,
  AnswerRead,
  Ending,
  JsonObject,
  PartReader,
  Seen,
  SettledFigures,
  StreamReader,
  StreamWriter,
  Surface,
  Upstream,
  UsageSeen,
} from './wire.ts';
import type { StreamPart } from './answer.ts';

/** The one place where a surface meets an upstream. The same wire: bytes untouched, watched. Another: taken apart and written anew. */
export function streamReader(surface: Surface, upstream: Upstream, request: InferenceRequest, context: AnswerContext): StreamReader {
  const reader =
    surface.wire === upstream.wire
      ? upstream.reader(context)
      : new Translated(upstream.parts(), surface.writer(request, context), new CustomCalls(customTools(request)));
  return surface.retold?.(reader, context) ?? reader;
}

/** An answer that came in another wire, as the surface's JSON body. */
export function translatedBody(surface: Surface, read: AnswerRead, request: InferenceRequest, context: AnswerContext): JsonObject {
  return surface.body(withCustomCalls(read.answer(), customTools(request)), request, context);
}

const EMPTY = Buffer.alloc(0);

class Translated implements StreamReader {
  readonly #parts: PartReader;
  readonly #writer: StreamWriter;
  readonly #calls: CustomCalls;
  #done = false;
  #finished = false;

  constructor(parts: PartReader, writer: StreamWriter, calls: CustomCalls) {
    this.#parts = parts;
    this.#writer = writer;
    this.#calls = calls;
  }

  push(chunk: Buffer): Seen {
    return this.#done ? { forward: EMPTY, usages: [], done: true } : this.#write(this.#parts.push(chunk));
  }

  finish(): Seen {
    return this.#done ? { forward: EMPTY, usages: [], done: true } : this.#write(this.#parts.finish());
  }

  ending(figures: SettledFigures | null): Ending {
    return this.#writer.ending(figures);
  }

  #write(parts: readonly StreamPart[]): Seen {
    const usages: UsageSeen[] = [];
    let failure: unknown;
    let text = '';
    for (const part of this.#calls.read(parts)) {
      if (part.type === 'failed') failure = part.failure ?? null;
      if (part.type === 'finish') this.#finished = true;
      if (part.type === 'failed' || part.type === 'done') this.#done = true;
      if (part.type !== 'failed') text += this.#writer.write(part);
      // Figures say nothing of the end here: `done` alone does.
      if (part.type === 'usage') usages.push({ usage: part.usage, alone: false, offset: Buffer.byteLength(text) });
      if (this.#done) break;
    }
    const forward = text === '' ? EMPTY : Buffer.from(text);
    return { forward, usages, done: this.#done, finished: this.#finished, ...(failure !== undefined && { failure }) };
  }
}
