import { keccak_256 } from '@noble/hashes/sha3.js';
import { z } from 'zod';

/**
 * An address on an EVM chain, in small letters: `0x` and 40 hex digits. One in large and small letters carries a checksum (ERC-55), which is
 * verified. YAML takes an address without quotes for a number.
 */
export const ethereumAddress = z
  .string('must be an address in quotes')
  .regex(/^0x[0-9a-fA-F]{40}$/, { error: 'must be 0x and 40 hex digits', abort: true })
  .refine(hasRightChecksum, 'does not match its checksum: some digit is wrong')
  .transform((address) => address.toLowerCase());

/** Whether the capitals are where the hash of the address has a digit of 8 or more; all digits of one case carry no checksum. */
function hasRightChecksum(address: string): boolean {
  const digits = address.slice(2);
  const small = digits.toLowerCase();
  if (digits === small || digits === digits.toUpperCase()) return true;
  const hash = Buffer.from(keccak_256(small)).toString('hex');
  const capital = (index: number) => parseInt(hash.charAt(index), 16) >= 8;
  return digits === small.replace(/[a-f]/g, (letter, index: number) => (capital(index) ? letter.toUpperCase() : letter));
}
