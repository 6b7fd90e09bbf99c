import './global-setup.ts';

/** After the run, also a failed one: nothing stays behind. */
export default async function globalTeardown(): Promise<void> {
  await globalThis.testCluster?.stop();
}
