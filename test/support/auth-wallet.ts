import { secp256k1 } from '@noble/curves/secp256k1.js';
import { bech32 } from '@scure/base';
import { createHash, createHmac } from 'node:crypto';

/** A wallet that signs in to sites (LUD-04), its keys derived as wallets on LND do it (LUD-13): from the node's signature of a fixed text. */
export interface AuthWallet {
  /** Does what a wallet does with a code: decodes it, signs, and sends the signature. Gives what the site answered. */
  scan(lnurl: string): Promise<{ status: string; reason?: string; event?: string }>;
  /** The query that it sends. */
  signedUrl(lnurl: string): URL;
  linkingKey(host: string): string;
}

/** The text that a node signs for LUD-13. */
export const CANONICAL_PHRASE =
  'DO NOT EVER SIGN THIS TEXT WITH YOUR PRIVATE KEYS! IT IS ONLY USED FOR DERIVATION OF LNURL-AUTH HASHING-KEY, DISCLOSING ITS SIGNATURE WILL COMPROMISE YOUR LNURL-AUTH IDENTITY AND MAY LEAD TO LOSS OF FUNDS!';

/** The wallet of a node whose signature of the canonical phrase is this; any text makes another wallet. */
export function authWallet(signatureOfPhrase: string): AuthWallet {
  const hashingKey = createHash('sha256').update(signatureOfPhrase).digest();
  const secretFor = (host: string) => createHmac('sha256', hashingKey).update(host).digest();
  const linkingKey = (host: string) => Buffer.from(secp256k1.getPublicKey(secretFor(host), true)).toString('hex');
  const signedUrl = (lnurl: string): URL => {
    const { words } = bech32.decode(lnurl.toLowerCase() as `${string}1${string}`, false);
    const url = new URL(Buffer.from(bech32.fromWords(words)).toString());
    const k1 = Buffer.from(url.searchParams.get('k1') ?? '', 'hex');
    const signature = secp256k1.sign(k1, secretFor(url.hostname), { prehash: false, format: 'der' });
    url.searchParams.set('sig', Buffer.from(signature).toString('hex'));
    url.searchParams.set('key', linkingKey(url.hostname));
    return url;
  };
  return {
    signedUrl,
    linkingKey,
    async scan(lnurl) {
      const response = await fetch(signedUrl(lnurl));
      return (await response.json()) as { status: string; reason?: string; event?: string };
    },
  };
}

/** The code on a page of the console. */
export function codeOn(html: string): string {
  const found = /href="lightning:(LNURL1[0-9A-Z]+)"/.exec(html)?.[1];
  if (found === undefined) throw new Error('there is no code on the page');
  return found;
}
