/** What wallets show their users before they pay to a Lightning Address. */
const TEXT = 'Pura top-up for';
const OURS = new RegExp(`^\\[\\["text/plain","${TEXT} ([a-z0-9._-]{3,32})@`);

/**
 * The metadata of a Lightning Address (LUD-06, LUD-16), as text: the hash in each of its invoices is over these very bytes, so that they are
 * built here alone.
 */
export function addressMetadata(handle: string, host: string): string {
  const address = `${handle}@${host}`;
  return JSON.stringify([
    ['text/plain', `${TEXT} ${address}`],
    ['text/identifier', address],
  ]);
}

/** The handle in the description of an invoice that a wallet keeps with such metadata. The claim is not checked. */
export function handleInMetadata(description: string): string | undefined {
  return OURS.exec(description)?.[1];
}
