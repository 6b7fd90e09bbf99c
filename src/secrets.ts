import { hkdfSync } from 'node:crypto';
import type { RootSecret } from './config/secret-keys.ts';

/** What a root secret is used for. One purpose's key says nothing about another's. */
export type SecretPurpose =
  'key-hash' | 'preimage' | 'macaroon' | 'challenge' | 'answer' | 'end-user' | 'simulated-node' | 'seal' | 'sender' | 'autopay';

/**
 * The 32-byte subkey of a root secret for one purpose: HKDF-SHA-256 (RFC 5869) with the purpose as `info`.
 * The same root and purpose give the same key for ever: what was made with it stays verifiable over restarts.
 */
export function deriveKey(root: RootSecret, purpose: SecretPurpose): Buffer {
  return Buffer.from(hkdfSync('sha256', root.secret, '', `pura-gateway/${purpose}`, 32));
}
