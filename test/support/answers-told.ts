import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Names the directory in which the test files of a run tell how many answers of which operations they compared with the route table. */
export const ANSWERS_VARIABLE = 'PURA_TEST_ANSWERS';

/** Before a run. */
export function collectAnswers(): void {
  process.env[ANSWERS_VARIABLE] = mkdtempSync(path.join(tmpdir(), 'pura-answers-'));
}

/** After it: how many answers each operation gave, over all files; the directory is gone. */
export function answersTold(): Map<string, number> {
  const directory = process.env[ANSWERS_VARIABLE];
  const total = new Map<string, number>();
  if (directory === undefined) return total;
  for (const file of readdirSync(directory)) {
    for (const line of readFileSync(path.join(directory, file), 'utf8').split('\n').filter(Boolean)) {
      for (const [name, times] of Object.entries(JSON.parse(line) as Record<string, number>))
        total.set(name, (total.get(name) ?? 0) + times);
    }
  }
  rmSync(directory, { recursive: true });
  return total;
}
