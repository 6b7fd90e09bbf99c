import path from 'node:path';
import { collectAnswers } from './answers-told.ts';
import { CLUSTER_VARIABLE } from './database.ts';
import { memoryDirectory } from './memory-directory.ts';
import { startTestCluster, type TestCluster } from './test-cluster.ts';

declare global {
  var testCluster: TestCluster | undefined;
}

/** Before the run: a place for its files, and one PostgreSQL for all test files. The workers find both in their environment. */
export default async function globalSetup(): Promise<void> {
  const memory = memoryDirectory();
  if (memory) process.env['TMPDIR'] ??= memory;
  collectAnswers();
  globalThis.testCluster = await startTestCluster();
  process.env[CLUSTER_VARIABLE] = globalThis.testCluster.connectionString;
  // The gateways that tests start as processes share what Node made of the source: compiling it is most of their start.
  process.env['NODE_COMPILE_CACHE'] ??= path.join(globalThis.testCluster.directory, 'compiled');
}
