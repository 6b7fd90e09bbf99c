import { olderSecrets } from '../accounts/older-secrets.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import type { Pool } from '../db/postgres.ts';
import type { Observe } from '../observation.ts';

/** Tells how many live keys still hang on an older secret of `SECRET_KEY`, and on one that is gone. */
export async function watchOlderSecrets(pool: Pool, roots: readonly RootSecret[], observe: Observe): Promise<void> {
  for (const older of await olderSecrets(pool, roots)) observe({ kind: 'older_secret', ...older });
}
