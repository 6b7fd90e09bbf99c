import { buildNodes } from '../regtest/build.ts';
import databaseSetup from '../support/global-setup.ts';

/** Before the run: the nodes are built, and the database is up. */
export default async function globalSetup(): Promise<void> {
  await buildNodes();
  await databaseSetup();
}
