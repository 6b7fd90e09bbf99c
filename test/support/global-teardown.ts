import { answersTold } from './answers-told.ts';
import './global-setup.ts';

/** After the run, also a failed one: nothing stays behind. */
export default async function globalTeardown(): Promise<void> {
  const told = answersTold();
  const answers = [...told.values()].reduce((sum, times) => sum + times, 0);
  if (answers > 0) console.log(`${answers} answers of ${told.size} operations are as /openapi.json describes them.`);
  await globalThis.testCluster?.stop();
}
