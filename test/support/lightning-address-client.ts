import { LightningAddress } from '@getalby/lightning-tools/lnurl';

/**
 * A payer's wallet: the client of `@getalby/lightning-tools` as it is, but for where it looks. It takes host names only and asks them over https.
 */
export function lightningAddressClient(origin: string, handle: string): LightningAddress {
  const client = new LightningAddress(`${handle}@pura.localhost`, { proxy: false });
  client.lnurlpUrl = () => `${origin}/.well-known/lnurlp/${handle}`;
  client.keysendUrl = () => `${origin}/.well-known/keysend/${handle}`;
  client.nostrUrl = () => `${origin}/.well-known/nostr.json?name=${handle}`;
  return client;
}
