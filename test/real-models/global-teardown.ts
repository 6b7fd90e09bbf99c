import databaseTeardown from '../support/global-teardown.ts';
import './global-setup.ts';

/** After the run, also a failed one: nothing stays behind. */
export default async function globalTeardown(): Promise<void> {
  await globalThis.modelServer?.close();
  await databaseTeardown();
}
