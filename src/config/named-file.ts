import { readFileSync } from 'node:fs';
import { ConfigError } from './config-error.ts';

/** The content of the file that the setting `name` names. Throws ConfigError. */
export function readNamedFile(name: string, file: string, encoding: 'utf8' | 'latin1' = 'utf8'): string {
  try {
    return readFileSync(file, encoding);
  } catch (error) {
    throw new ConfigError(`${name}: cannot read the file: ${(error as NodeJS.ErrnoException).code}`);
  }
}
