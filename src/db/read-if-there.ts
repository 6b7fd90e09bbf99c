import { readFileSync } from 'node:fs';

/** A file's text; undefined where there is no such file. In one step, for whoever made it may remove it at any moment. */
export function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
