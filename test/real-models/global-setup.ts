import databaseSetup from '../support/global-setup.ts';
import { installAgents, installPython } from './install.ts';
import { startModelServer, type ModelServer } from './model-server.ts';

declare global {
  var modelServer: ModelServer | undefined;
}

/** Where the test files find the model server and the Python that has the clients. */
export const MODEL_SERVER_VARIABLE = 'PURA_TEST_MODEL_SERVER';
export const PYTHON_VARIABLE = 'PURA_TEST_PYTHON';
/** Where they find the agents' commands. */
export const AGENTS_VARIABLE = 'PURA_TEST_AGENTS';

/** Before the run: the model server is built and runs, and the database is up. */
export default async function globalSetup(): Promise<void> {
  const [installed, agents] = await Promise.all([installPython(), installAgents()]);
  await databaseSetup();
  globalThis.modelServer = await startModelServer(installed);
  process.env[MODEL_SERVER_VARIABLE] = globalThis.modelServer.baseUrl;
  process.env[PYTHON_VARIABLE] = installed.python;
  process.env[AGENTS_VARIABLE] = agents;
}
