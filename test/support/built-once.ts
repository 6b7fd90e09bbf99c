import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/**
 * A directory that `build` fills the first time and that is found afterwards. It lies in the user's cache, outside of the repository,
 * by name and by the version of what was built. `build` works in a directory beside it, which is renamed once whole.
 */
export async function builtOnce(name: string, version: string, build: (unfinished: string) => Promise<void>): Promise<string> {
  const directory = path.join(process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache'), name, version);
  if (existsSync(directory)) return directory;
  mkdirSync(path.dirname(directory), { recursive: true });
  const unfinished = mkdtempSync(`${directory}-`);
  try {
    await build(unfinished);
    renameSync(unfinished, directory);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    // Whoever built at the same time was first: theirs is as good.
    if (!existsSync(directory)) throw error;
  }
  return directory;
}
