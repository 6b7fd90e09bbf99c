import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigError } from './config-error.ts';

/** A root secret of the gateway. Purposes are derived from it; what is stored names its id. */
export interface RootSecret {
  readonly id: string;
  readonly secret: Buffer;
}

const MIN_SECRET_BYTES = 32;

/** Reads SECRET_KEY: one secret, or several with their ids, the newest first. Throws ConfigError. */
export function parseSecretKeys(value: string): RootSecret[] {
  const keys = value.split(/[\s,]+/).map((entry) => {
    const separator = entry.indexOf(':');
    const id = separator < 0 ? '0' : entry.slice(0, separator);
    return { id, secret: decodeSecret(entry.slice(separator + 1)) };
  });
  if (keys.some(({ id }) => !/^(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$/.test(id)))
    throw new ConfigError('SECRET_KEY: an id must be a number from 0 to 255');
  if (new Set(keys.map(({ id }) => id)).size < keys.length) throw new ConfigError('SECRET_KEY: two secrets have the same id');
  if (keys.some(({ secret }) => secret.length < MIN_SECRET_BYTES))
    throw new ConfigError(`SECRET_KEY: a secret needs ${MIN_SECRET_BYTES} random bytes or more, e.g. \`openssl rand -hex 32\``);
  return keys;
}

/** The secret that is kept in `dataDir`; made at the first call. */
export function ownSecretKeys(dataDir: string): RootSecret[] {
  const file = path.join(dataDir, 'secret-key');
  if (!existsSync(file)) {
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(file, randomBytes(32).toString('hex'), { mode: 0o600, flag: 'wx' });
  }
  chmodSync(file, 0o600);
  return parseSecretKeys(readFileSync(file, 'utf8').trim());
}

/** Hex where it is hex, else base64, else the characters themselves: the shortest reading counts, so none is over-credited. */
function decodeSecret(value: string): Buffer {
  if (/^([0-9a-f]{2})+$/i.test(value)) return Buffer.from(value, 'hex');
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(value) ? Buffer.from(value, 'base64') : Buffer.from(value);
}
