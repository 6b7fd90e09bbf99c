import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** Where this version's migrations lie. */
export const MIGRATIONS_DIR = fileURLToPath(new URL('../../migrations/', import.meta.url));

/** The names of this version's migrations, in order. Apart from what applies them, so that who only asks does not load that. */
export async function migrationNames(directory = MIGRATIONS_DIR): Promise<string[]> {
  const files = await readdir(directory);
  return files.filter((name) => name.endsWith('.sql')).sort();
}
