import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { arrayLiteral, byteaLiteral, textLiteral } from '../../src/db/array-literal.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;

beforeAll(async () => (database = await createTestDatabase()));
afterAll(() => database.drop());

async function readBack(type: string, literal: string): Promise<unknown> {
  const { rows } = await database.pool.query<{ back: unknown }>(`select $1::${type}[] as back`, [literal]);
  return rows[0]?.back;
}

it('gives any text back as it was, words that mean something to PostgreSQL among them', async () => {
  const words = fc.constantFrom('NULL', 'null', '{}', '"', '\\', '\\\\"', ',', ' ', '', '\n', '{"a":[1,2]}', "'", '€', '🜚');
  const text = fc.oneof(words, fc.string({ unit: 'grapheme' })).map((some) => some.replaceAll('\0', ''));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.option(text), { minLength: 1 }), async (texts) => {
      expect(await readBack('text', arrayLiteral(texts, textLiteral))).toEqual(texts);
    }),
    { numRuns: 200 },
  );
});

it('gives numbers, booleans and bytes back, and nothing for nothing', async () => {
  const plain = (values: (bigint | number | boolean | null)[]) => arrayLiteral(values, (value) => value);
  expect(await readBack('bigint', plain([1n, null, -9_223_372_036_854_775_808n]))).toEqual(['1', null, '-9223372036854775808']);
  expect(await readBack('double precision', plain([0.1, 1e-7, null]))).toEqual([0.1, 1e-7, null]);
  expect(await readBack('boolean', plain([true, false]))).toEqual([true, false]);
  const bytes = [Buffer.from([0, 255, 92]), undefined];
  expect(await readBack('bytea', arrayLiteral(bytes, byteaLiteral))).toEqual([bytes[0], null]);
  expect(await readBack('text', arrayLiteral([], textLiteral))).toEqual([]);
});
