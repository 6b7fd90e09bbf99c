import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { ConfigError } from './config-error.ts';

interface ReadOptions {
  encoding?: 'utf8' | 'latin1';
  /** A larger file is refused. */
  mostBytes?: number;
}

/** The content of the file that the setting `name` names. Throws ConfigError. */
export function readNamedFile(name: string, file: string, { encoding = 'utf8', mostBytes }: ReadOptions = {}): string {
  let content: Buffer;
  try {
    content = mostBytes === undefined ? readFileSync(file) : readAtMost(file, mostBytes + 1);
  } catch (error) {
    throw new ConfigError(`${name}: cannot read the file: ${(error as NodeJS.ErrnoException).code}`);
  }
  if (mostBytes !== undefined && content.length > mostBytes) throw new ConfigError(`${name}: the file is larger than ${mostBytes} bytes`);
  return content.toString(encoding);
}

/** The first bytes of a file that may be a pipe, or have no end. */
function readAtMost(file: string, bytes: number): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const content = Buffer.alloc(bytes);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes; length += read) read = readSync(descriptor, content, length, bytes - length, null);
    return content.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}
