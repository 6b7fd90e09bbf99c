import { createHmac, randomBytes } from 'node:crypto';
import type { RootSecret } from '../config/secret-keys.ts';
import { deriveKey } from '../secrets.ts';

/** A new key's secret, and what of it is stored. */
export interface NewKeySecret {
  /** Shown once, to its owner. */
  readonly secret: string;
  readonly prefix: string;
  readonly secretHash: Buffer;
  /** Names the root secret that made the hash. */
  readonly secretId: string;
}

/** Makes the secrets of API keys, and the hashes under which they may be stored. */
export interface KeySecrets {
  /** Of the root secret that makes new hashes. */
  readonly newestId: string;
  create(): NewKeySecret;
  /** The hashes of a secret under every root, newest first; none where it cannot be a key's secret. */
  hashesOf(secret: string): Buffer[];
}

/** 32 random bytes in base64url take 43 characters; shorter ones down to 128 bits are understood too. */
const SECRET = /^pura_[A-Za-z0-9_-]{22,86}$/;
const PREFIX_LENGTH = 'pura_'.length + 6;

/**
 * Secrets are stored as HMAC-SHA-256 under a subkey of a root secret: a dump of the database holds nothing usable.
 * @param roots newest first; that one makes the hashes of new keys.
 */
export function createKeySecrets(roots: readonly RootSecret[]): KeySecrets {
  const subkeys = roots.map((root) => ({ id: root.id, subkey: deriveKey(root, 'key-hash') }));
  const [newest] = subkeys;
  if (!newest) throw new RangeError('no root secret');
  const hash = (subkey: Buffer, secret: string): Buffer => createHmac('sha256', subkey).update(secret).digest();
  return {
    newestId: newest.id,
    create() {
      const secret = `pura_${randomBytes(32).toString('base64url')}`;
      return { secret, prefix: secret.slice(0, PREFIX_LENGTH), secretHash: hash(newest.subkey, secret), secretId: newest.id };
    },
    hashesOf: (secret) => (SECRET.test(secret) ? subkeys.map(({ subkey }) => hash(subkey, secret)) : []),
  };
}
