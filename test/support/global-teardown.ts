import { answersTold } from './answers-told.ts';
import './global-setup.ts';

/** What the whole default suite compares with the route table at least. */
const FEWEST_ANSWERS = 10_000;
const FEWEST_OPERATIONS = 50;

interface Run {
  readonly rootDir: string;
  readonly testNamePattern?: string;
  readonly onlyChanged: boolean;
  readonly shard?: object;
  readonly testPathPatterns: { isSet(): boolean };
}

/** After the run, also a failed one: nothing stays behind. Throws where a whole run compared hardly any answers. */
export default async function globalTeardown(run?: Run, project?: { testPathIgnorePatterns: readonly string[] }): Promise<void> {
  const told = answersTold();
  await globalThis.testCluster?.stop();
  const answers = [...told.values()].reduce((sum, times) => sum + times, 0);
  if (answers > 0) console.log(`${answers} answers of ${told.size} operations were compared with the route table.`);
  const isWhole = run && !run.testPathPatterns.isSet() && !run.testNamePattern && !run.onlyChanged && !run.shard;
  // The other suites leave out nothing, or something else.
  const isDefault = project?.testPathIgnorePatterns.some((pattern) => pattern.includes('test/faults'));
  if (isWhole && isDefault && (answers < FEWEST_ANSWERS || told.size < FEWEST_OPERATIONS)) {
    throw new Error(`too few answers were compared with the route table: ${answers} of ${told.size} operations`);
  }
}
