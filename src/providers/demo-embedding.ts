import { createHash } from 'node:crypto';

/** What the built-in demo makes of an embeddings request: a pure function of each input, with no meaning in it. */

const DIMENSIONS = 64;
const MOST_DIMENSIONS = 3_072;
const BYTES_A_TOKEN = 4;

/** Answers an embeddings request as it goes upstream, in the words of the OpenAI API. Unknown and malformed members are ignored. */
export function demoEmbedding(request: Readonly<Record<string, unknown>>): object {
  const inputs = inputsOf(request['input']);
  const asked = request['dimensions'];
  const dimensions = typeof asked === 'number' && asked >= 1 ? Math.min(Math.floor(asked), MOST_DIMENSIONS) : DIMENSIONS;
  const write = request['encoding_format'] === 'base64' ? base64 : (vector: number[]) => vector;
  const tokens = inputs.reduce<number>((sum, input) => sum + tokensOf(input), 0);
  return {
    object: 'list',
    data: inputs.map((input, index) => ({ object: 'embedding', index, embedding: write(vectorOf(input, dimensions)) })),
    model: request['model'],
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** One text or list of tokens, or several. */
function inputsOf(input: unknown): unknown[] {
  return Array.isArray(input) && typeof input[0] !== 'number' ? input : [input];
}

function tokensOf(input: unknown): number {
  return Array.isArray(input) ? input.length : Math.max(1, Math.ceil(Buffer.byteLength(String(input)) / BYTES_A_TOKEN));
}

/** A vector of length 1, from the hash of the input. */
function vectorOf(input: unknown, dimensions: number): number[] {
  const bytes = createHash('shake256', { outputLength: dimensions * 2 })
    .update(JSON.stringify(input) ?? '')
    .digest();
  const raw = Array.from({ length: dimensions }, (_none, index) => bytes.readInt16LE(index * 2) || 1);
  const length = Math.hypot(...raw);
  return raw.map((value) => Math.fround(value / length));
}

/** As 32-bit numbers, little end first. */
function base64(vector: number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
