const BYTES = 4;

/** A vector as numbers. Of base64 it is what the 32-bit floats in it, little end first, are exactly. */
export function floatsOf(vector: readonly number[] | string): readonly number[] {
  if (typeof vector !== 'string') return vector;
  const bytes = Buffer.from(vector, 'base64');
  return Array.from({ length: Math.floor(bytes.length / BYTES) }, (_, index) => bytes.readFloatLE(index * BYTES));
}

/** A vector as base64 of 32-bit floats, little end first: what OpenAI's clients ask for by themselves. */
export function base64Of(vector: readonly number[] | string): string {
  if (typeof vector === 'string') return vector;
  const bytes = Buffer.alloc(vector.length * BYTES);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * BYTES);
  return bytes.toString('base64');
}
