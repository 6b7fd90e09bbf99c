import type { WalletSignIns } from '../../accounts/wallet-sign-ins.ts';
import { GatewayError } from '../../errors.ts';
import { isSignedBy } from '../../lnurl/auth-signature.ts';
import { parameterOf, type LnurlPath } from './lnurl-answers.ts';

/** What wallets say to their users once they have signed (LUD-04). */
const EVENTS = new Map([
  ['login', 'LOGGEDIN'],
  ['link', 'LINKED'],
  ['auth', 'AUTHED'],
]);
const CHALLENGE = /^[0-9a-f]{64}$/i;

/** Takes a wallet's signature of a code that a browser shows (LUD-04). What it gives, that browser claims by itself. */
export function authPath(signIns: Pick<WalletSignIns, 'signed'>): LnurlPath {
  return async (req) => {
    const [k1 = '', action = '', signature = '', key = ''] = ['k1', 'action', 'sig', 'key'].map((name) => parameterOf(req, name));
    const event = EVENTS.get(action);
    if (!CHALLENGE.test(k1) || event === undefined) throw refusal('This is not a code of this gateway. Show a new one.');
    if (signature === '' || key === '') throw refusal('Your wallet sent no signature. Try again, or use another wallet.');
    if (!isSignedBy(Buffer.from(k1, 'hex'), { key, signature })) throw refusal('The signature of your wallet is not valid.');
    await signIns.signed({ k1: Buffer.from(k1, 'hex'), action, linkingKey: Buffer.from(key, 'hex') });
    return { status: 'OK', event };
  };
}

function refusal(message: string): GatewayError {
  return new GatewayError('invalid_request', { message });
}
