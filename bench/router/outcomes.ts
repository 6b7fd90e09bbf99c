import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** What two models made of a prompt: how good the answer of the weak and of the strong one was. */
const rating = z.union([z.number(), z.boolean().transform(Number)]);
const outcome = z.object({
  set: z.string().default('all'),
  domain: z
    .string()
    .nullish()
    .transform((domain) => domain ?? undefined),
  prompt: z.string(),
  weak: rating,
  strong: rating,
});
export type Outcome = z.infer<typeof outcome>;

/** The outcomes of a file that a command was given. Where they cannot be read, the command says why and ends. */
export function outcomesOrExit(file: string): ReturnType<typeof readOutcomes> {
  try {
    return readOutcomes(file);
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
}

/** Reads outcomes, one JSON object a line. Throws where a line is none, naming it. */
export function readOutcomes(file: string): { outcomes: Outcome[]; sha256: string } {
  const text = readFileSync(file, 'utf8');
  const outcomes = text.split('\n').flatMap((line, index): Outcome[] => {
    if (line.trim() === '') return [];
    try {
      return [outcome.parse(JSON.parse(line))];
    } catch (error) {
      throw new Error(`${file}:${index + 1}: is no outcome: ${(error as Error).message}`, { cause: error });
    }
  });
  return { outcomes, sha256: createHash('sha256').update(text).digest('hex') };
}

/** The groups of a list, in the order in which they first occur. */
export function groupsOf<T>(list: readonly T[], nameOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of list) {
    const group = groups.get(nameOf(one));
    if (group) group.push(one);
    else groups.set(nameOf(one), [one]);
  }
  return groups;
}

/** Numbers from 0 up to 1 that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
