import { describe, expect, it } from '@jest/globals';
import { brotliCompressSync, constants, createGzip, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { Abort } from '../../src/providers/abort.ts';
import { decodedAnswer } from '../../src/providers/decoded-answer.ts';
import type { BodyReader, UpstreamAnswer } from '../../src/providers/provider.ts';

const TEXT = Buffer.from('data: {"content":"äöü"}\n\n'.repeat(2_000));
const CODINGS: [coding: string, bytes: Buffer][] = [
  ['gzip', gzipSync(TEXT)],
  ['X-GZIP', gzipSync(TEXT)],
  ['br', brotliCompressSync(TEXT)],
  ['deflate', deflateSync(TEXT)],
  ['deflate', deflateRawSync(TEXT)],
  ['zstd', zstdCompressSync(TEXT)],
];

/** An answer that gives these chunks, pausing as it is asked to. */
function answerOf(coding: string, chunks: readonly Buffer[]): UpstreamAnswer & { given: number } {
  let reader: BodyReader;
  const flow = (): void => {
    while (answer.given < chunks.length) if (!reader.data(chunks[answer.given++] ?? Buffer.alloc(0))) return;
    reader.end();
  };
  const answer = {
    status: 200,
    headers: { 'content-encoding': coding },
    given: 0,
    read(given: BodyReader) {
      reader = given;
      flow();
    },
    resume: flow,
  };
  return answer;
}

const split = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size));

function readAll(answer: UpstreamAnswer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    answer.read({ data: (chunk) => chunks.push(chunk) > 0, end: () => resolve(Buffer.concat(chunks)), error: reject });
  });
}

describe('a compressed answer', () => {
  it.each(CODINGS)('is decoded, however its bytes come: %s', async (coding, bytes) => {
    for (const size of [1, 7, 1_000, bytes.length]) {
      expect((await readAll(decodedAnswer(answerOf(coding, split(bytes, size)), new Abort()))).equals(TEXT)).toBe(true);
    }
  });

  it('gives each part of a stream as soon as it is there', async () => {
    const gzip = createGzip();
    const first = await new Promise<Buffer>((resolve) => {
      const chunks: Buffer[] = [];
      gzip.on('data', (chunk: Buffer) => chunks.push(chunk));
      gzip.write('data: first\n\n');
      gzip.flush(constants.Z_SYNC_FLUSH, () => resolve(Buffer.concat(chunks)));
    });
    const unending: UpstreamAnswer = {
      status: 200,
      headers: { 'content-encoding': 'gzip' },
      read: (reader) => void reader.data(first),
      resume() {},
    };
    const got = await new Promise<string>((resolve) =>
      decodedAnswer(unending, new Abort()).read({ data: (chunk) => (resolve(chunk.toString()), true), end() {}, error() {} }),
    );
    expect(got).toBe('data: first\n\n');
  });

  it('waits for a reader that pauses', async () => {
    const zeros = gzipSync(Buffer.alloc(8 * 1024 * 1024));
    const answer = decodedAnswer(answerOf('gzip', split(zeros, 64)), new Abort());
    let bytes = 0;
    await new Promise<void>((resolve, reject) => {
      answer.read({
        data(chunk) {
          bytes += chunk.length;
          setImmediate(() => answer.resume());
          return false;
        },
        end: resolve,
        error: reject,
      });
    });
    expect(bytes).toBe(8 * 1024 * 1024);
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    ['deflate', deflateSync],
  ])('ends the exchange where it decodes to more than is taken: %s', async (coding, encode) => {
    const bomb = encode(Buffer.alloc(4 * 1024 * 1024));
    const abort = new Abort();
    const reading = readAll(decodedAnswer(answerOf(coding, [bomb]), abort, 1024 * 1024));
    await expect(reading).rejects.toMatchObject({ kind: 'protocol' });
    expect(abort.aborted).toBe(true);
  });

  it.each(CODINGS)('fails where it is cut or broken: %s', async (coding, bytes) => {
    const cut = bytes.subarray(0, bytes.length - 9);
    await expect(readAll(decodedAnswer(answerOf(coding, [cut]), new Abort()))).rejects.toMatchObject({ kind: 'protocol' });
    const broken = Buffer.concat([bytes.subarray(0, 2), Buffer.alloc(50, 0xff)]);
    await expect(readAll(decodedAnswer(answerOf(coding, [broken]), new Abort()))).rejects.toMatchObject({ kind: 'protocol' });
  });

  it.each(['compress', 'gzip, br', 'constructor', 'aes128gcm'])(
    'is refused before anything is read where its coding is not known: %s',
    (coding) => {
      expect(() => decodedAnswer(answerOf(coding, []), new Abort())).toThrow(expect.objectContaining({ kind: 'protocol' }));
    },
  );

  it.each(['', 'identity'])('is left alone where it is none: %j', (coding) => {
    const answer = answerOf(coding, []);
    expect(decodedAnswer(answer, new Abort())).toBe(answer);
  });
});
