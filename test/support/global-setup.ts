import { CLUSTER_VARIABLE } from './database.ts';
import { startTestCluster, type TestCluster } from './test-cluster.ts';

declare global {
  var testCluster: TestCluster | undefined;
}

/** Before the run: one PostgreSQL for all test files. Its address reaches the workers through the environment. */
export default async function globalSetup(): Promise<void> {
  globalThis.testCluster = await startTestCluster();
  process.env[CLUSTER_VARIABLE] = globalThis.testCluster.connectionString;
}
