import { secp256k1 } from '@noble/curves/secp256k1.js';

const KEY = /^0[23][0-9a-f]{64}$/i;
/** DER needs 8 bytes at least, and 72 at most. */
const SIGNATURE = /^(?:[0-9a-f]{2}){8,72}$/i;

/**
 * Whether a wallet has signed a challenge (LUD-04): `signature` is ECDSA in DER over the challenge's 32 bytes as they are, by the linking
 * key, a compressed public key; both in hex. Deployed wallets make signatures with a high S too.
 */
export function isSignedBy(challenge: Buffer, { key, signature }: { key: string; signature: string }): boolean {
  if (!KEY.test(key) || !SIGNATURE.test(signature)) return false;
  try {
    return secp256k1.verify(Buffer.from(signature, 'hex'), challenge, Buffer.from(key, 'hex'), {
      prehash: false,
      format: 'der',
      lowS: false,
    });
  } catch {
    // A key that is no point of the curve.
    return false;
  }
}
