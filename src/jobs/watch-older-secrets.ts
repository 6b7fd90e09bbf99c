import { olderSecrets } from '../accounts/older-secrets.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import type { Pool } from '../db/postgres.ts';
import type { Logger } from '../log.ts';

/** Tells how many live keys still hang on an older secret of `SECRET_KEY`, and on one that is gone. */
export async function watchOlderSecrets(pool: Pool, roots: readonly RootSecret[], log: Logger): Promise<void> {
  for (const { secretId, keys, known } of await olderSecrets(pool, roots)) {
    if (known) log.info({ secretId, keys }, 'keys are still stored under an older secret; each is renewed when it is used');
    else log.warn({ secretId, keys }, 'keys are refused: the secret that they are stored under is not in SECRET_KEY');
  }
}
