import { expect, it } from '@jest/globals';
import { demoEmbedding } from '../../src/providers/demo-embedding.ts';

interface Embedded {
  data: { index: number; embedding: number[] | string }[];
  usage: { prompt_tokens: number; total_tokens: number };
}
const embed = (request: Record<string, unknown>) => demoEmbedding({ model: 'demo-embedding', ...request }) as Embedded;

it('the demo embeds every input for itself, the same each time, as vectors of length 1', () => {
  const { data, usage } = embed({ input: ['one', 'two', 'one'], dimensions: 8 });
  expect(data.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(data[0]?.embedding).toEqual(data[2]?.embedding);
  expect(data[0]?.embedding).not.toEqual(data[1]?.embedding);
  for (const { embedding } of data) {
    expect(embedding).toHaveLength(8);
    expect(Math.hypot(...(embedding as number[]))).toBeCloseTo(1, 5);
  }
  expect(usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
});

it('the demo embeds lists of tokens, and writes base64 of the same numbers', () => {
  expect(embed({ input: [1, 2, 3] }).usage.prompt_tokens).toBe(3);
  expect(embed({ input: [[1, 2], [3]] })).toMatchObject({ data: [{ index: 0 }, { index: 1 }], usage: { prompt_tokens: 3 } });
  const [floats, bytes] = ['float', 'base64'].map((encoding_format) => embed({ input: 'x', encoding_format }).data[0]?.embedding);
  const read = Buffer.from(bytes as string, 'base64');
  expect(Array.from({ length: read.length / 4 }, (_none, index) => read.readFloatLE(index * 4))).toEqual(floats);
});
