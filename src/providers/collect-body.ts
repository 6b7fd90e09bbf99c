import type { UpstreamAnswer } from './provider.ts';

/** The whole body of an answer that is not a stream. Rejects when it breaks off. */
export function collectBody(answer: UpstreamAnswer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    answer.read({
      data: (chunk) => {
        chunks.push(chunk);
        return true;
      },
      end: () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
      error: reject,
    });
  });
}
