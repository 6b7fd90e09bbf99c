import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { RootSecret } from '../config/secret-keys.ts';
import { deriveKey } from '../secrets.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts an account's wallet connection under the newest root secret (AES-256-GCM): `root secret's id | nonce | encrypted | tag`. The key
 * is the account's own, so that one account's bytes are of no use in another's row.
 */
export function sealConnection([root]: readonly RootSecret[], accountId: string, url: string): Buffer {
  if (!root) throw new RangeError('no root secret');
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', connectionKey(root, accountId), nonce);
  return Buffer.concat([Buffer.of(Number(root.id)), nonce, cipher.update(url, 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

/** The connection that was sealed; null where its secret is gone, or the bytes are not what was sealed for this account. */
export function openConnection(roots: readonly RootSecret[], accountId: string, sealed: Buffer): string | null {
  const root = roots.find(({ id }) => Number(id) === sealed[0]);
  if (!root || sealed.length <= 1 + NONCE_BYTES + TAG_BYTES) return null;
  try {
    const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', connectionKey(root, accountId), nonce, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8');
  } catch {
    return null;
  }
}

function connectionKey(root: RootSecret, accountId: string): Buffer {
  return Buffer.from(hkdfSync('sha256', deriveKey(root, 'autopay'), accountId, 'pura-gateway/autopay', 32));
}
