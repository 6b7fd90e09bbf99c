import { createHash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { DescriptionHashError } from './wallet.ts';

/** What an invoice has in place of a description: the SHA-256 of the very bytes that a wallet was shown (LUD-06). */
export function descriptionHash(metadata: string): Buffer {
  return createHash('sha256').update(metadata, 'utf8').digest();
}

/** Throws as `Wallet.createInvoice` does unless an invoice has the hash of `metadata`. `found`: its tag `h`, hexadecimal. */
export function requireDescriptionHash(metadata: string | undefined, found: string | undefined): void {
  if (metadata === undefined || found === descriptionHash(metadata).toString('hex')) return;
  throw descriptionHashRefused(new DescriptionHashError('the invoice has no hash of its description, or another one'));
}

export const NO_DESCRIPTION_HASHES = 'The wallet of this gateway makes no invoices for Lightning Addresses.';

export function descriptionHashRefused(cause: DescriptionHashError): GatewayError {
  return new GatewayError('lightning_unavailable', {
    message: NO_DESCRIPTION_HASHES,
    cause,
  });
}
