import { createHash } from 'node:crypto';
import type { Pool } from '../db/postgres.ts';
import type { Prices } from './catalogue.ts';

/** The number under which the database knows this set of prices; a new set is stored first. Charges are stamped with it. */
export async function loadPriceVersion(pool: Pool, prices: Prices): Promise<number> {
  const rows = [...prices].sort(([a], [b]) => (a < b ? -1 : 1));
  const json = JSON.stringify(Object.fromEntries(rows), (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  const sha256 = createHash('sha256').update(json).digest();
  const known = 'select version from price_versions where sha256 = $1';
  const insert = 'insert into price_versions (sha256, prices) values ($1, $2) on conflict (sha256) do nothing returning version';
  for (const [sql, values] of [
    [known, [sha256]],
    [insert, [sha256, json]],
    [known, [sha256]],
  ] as const) {
    const { rows: found } = await pool.query<{ version: number }>(sql, [...values]);
    if (found[0]) return found[0].version;
  }
  throw new Error('price_versions neither has the prices nor takes them');
}
