import type { RootSecret } from '../config/secret-keys.ts';
import type { Pool } from '../db/postgres.ts';

/** Live keys that are not stored under the newest root secret. */
export interface OlderSecret {
  readonly secretId: string;
  readonly keys: number;
  /** False where the secret was removed from `SECRET_KEY`: these keys are refused. */
  readonly known: boolean;
}

/**
 * How many live keys would be refused if only the newest of `roots` were left, by the secret that made their
 * hash.
 */
export async function olderSecrets(pool: Pool, roots: readonly RootSecret[]): Promise<OlderSecret[]> {
  const { rows } = await pool.query<{ secret_id: string; keys: number }>(LIVE_BY_SECRET, [roots[0]?.id, TOKEN_ROWS]);
  return rows.map(({ secret_id: secretId, keys }) => ({ secretId, keys, known: roots.some(({ id }) => id === secretId) }));
}

/** In place of the secret that made the hash: the key rows of payments' tokens have no hash. */
export const TOKEN_ROWS = 'none';

const LIVE_BY_SECRET = `
  select secret_id, count(*)::integer as keys from api_keys
  where revoked_at is null and (expires_at is null or expires_at > clock_timestamp()) and secret_id not in ($1, $2)
  group by secret_id order by secret_id`;
