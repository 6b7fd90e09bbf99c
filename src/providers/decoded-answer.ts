import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib';
import type { Transform } from 'node:stream';
import type { Abort } from './abort.ts';
import { ProviderError } from './provider-error.ts';
import type { BodyReader, UpstreamAnswer } from './provider.ts';

/** A small answer may decode to any size: larger ones are broken off. */
const MAX_DECODED_BYTES = 64 * 1024 * 1024;

/** Decoders by content coding, told how the body begins. */
const DECODERS: Readonly<Record<string, (firstByte: number) => Transform>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  br: () => createBrotliDecompress(),
  zstd: () => createZstdDecompress(),
  // Some servers leave out the wrapper that RFC 9110 (8.4.1.2) asks for.
  deflate: (firstByte) => ((firstByte & 0x0f) === 8 ? createInflate() : createInflateRaw()),
};

/**
 * The answer with its body decoded. None is asked to be compressed, but some servers and proxies do so all the same. Throws
 * `ProviderError` for a coding that is not known: nothing has been handed on by then.
 */
export function decodedAnswer(answer: UpstreamAnswer, abort: Abort, maxBytes = MAX_DECODED_BYTES): UpstreamAnswer {
  const coding = String(answer.headers['content-encoding'] ?? '')
    .trim()
    .toLowerCase();
  if (coding === '' || coding === 'identity') return answer;
  const createDecoder = Object.hasOwn(DECODERS, coding) ? DECODERS[coding] : undefined;
  if (!createDecoder) throw new ProviderError('protocol', 'the answer has a content coding that was not asked for');
  return new DecodedAnswer(answer, abort, createDecoder, maxBytes);
}

class DecodedAnswer implements UpstreamAnswer {
  readonly status: number;
  readonly headers: UpstreamAnswer['headers'];
  readonly #answer: UpstreamAnswer;
  readonly #abort: Abort;
  readonly #createDecoder: (firstByte: number) => Transform;
  readonly #maxBytes: number;
  #decoder: Transform | undefined;
  #decodedBytes = 0;
  #over = false;

  constructor(answer: UpstreamAnswer, abort: Abort, createDecoder: (firstByte: number) => Transform, maxBytes: number) {
    this.status = answer.status;
    this.headers = answer.headers;
    this.#answer = answer;
    this.#abort = abort;
    this.#createDecoder = createDecoder;
    this.#maxBytes = maxBytes;
  }

  read(reader: BodyReader): void {
    this.#answer.read({
      data: (chunk) => (chunk.length === 0 || this.#over ? true : (this.#decoder ??= this.#start(chunk, reader)).write(chunk)),
      end: () => {
        if (this.#decoder) this.#decoder.end();
        else this.#end(() => reader.end());
      },
      error: (reason) => this.#fail(reader, reason),
    });
  }

  resume(): void {
    this.#decoder?.resume();
  }

  #start(firstChunk: Buffer, reader: BodyReader): Transform {
    const decoder = this.#createDecoder(firstChunk[0] ?? 0);
    decoder.on('data', (chunk: Buffer) => {
      if (this.#over) return;
      this.#decodedBytes += chunk.length;
      if (this.#decodedBytes > this.#maxBytes) {
        this.#fail(reader, new ProviderError('protocol', `answer larger than ${this.#maxBytes} bytes`));
      } else if (!reader.data(chunk)) {
        decoder.pause();
      }
    });
    decoder.on('drain', () => this.#answer.resume());
    decoder.on('end', () => this.#end(() => reader.end()));
    decoder.on('error', (error) => this.#fail(reader, new ProviderError('protocol', 'the answer cannot be decoded', error)));
    return decoder;
  }

  #fail(reader: BodyReader, reason: Error): void {
    this.#end(() => {
      this.#abort.abort();
      this.#decoder?.destroy();
      reader.error(reason);
    });
  }

  #end(tell: () => void): void {
    if (this.#over) return;
    this.#over = true;
    tell();
  }
}
