import { bech32 } from '@scure/base';

/** A URL as wallets read it from a code (LUD-01): bech32 without a limit of length, upper case, because a code of capitals is smaller. */
export function encodeLnurl(url: string): string {
  return bech32.encode('lnurl', bech32.toWords(new TextEncoder().encode(url)), false).toUpperCase();
}

/** The same for links that wallets open by their scheme (LUD-17), e.g. `lnurlw://pura.example/lnurl/withdraw?k1=…`. */
export function lnurlLink(scheme: 'lnurlp' | 'lnurlw' | 'keyauth', url: string): string {
  return url.replace(/^https?:/, `${scheme}:`);
}
