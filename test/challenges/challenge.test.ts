import { createHash, randomBytes } from 'node:crypto';
import { parseL402 } from '@getalby/lightning-tools/402/l402';
import { describe, expect, it } from '@jest/globals';
import bolt11 from 'bolt11';
import macaroon, { type Macaroon } from 'macaroon';
import type { RootSecret } from '../../src/config/secret-keys.ts';
import { challengeHeaders, type ChallengeOptions } from '../../src/challenges/challenge.ts';
import type { Invoice } from '../../src/invoices/invoice.ts';
import { isGenuine, mintMacaroon, parseMacaroon } from '../../src/challenges/macaroon.ts';
import { mppChallenge, mppReceipt, readMppCredential } from '../../src/challenges/mpp.ts';
import { mintToken, readToken, type Grant } from '../../src/challenges/payment-token.ts';
import { readX402Signature } from '../../src/challenges/x402.ts';
import { deriveKey } from '../../src/secrets.ts';

const root = (id: string, fill: number): RootSecret => ({ id, secret: Buffer.alloc(32, fill) });
const roots = [root('7', 1)];
const grant: Grant = { keyId: '0198f8a0-0000-7000-8000-000000000001', keyPrefix: 'pura_AbC-_1', idleDays: null };
const preimage = Buffer.alloc(32, 9);
const paymentHash = createHash('sha256').update(preimage).digest();
const claim = { paymentHash, grant };
const HOUR_MS = 3_600_000;

/** Signed as a node signs; nobody asks it to be payable. */
function invoiceText(): string {
  const unsigned = bolt11.encode({
    network: { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] },
    satoshis: 21,
    tags: [
      { tagName: 'payment_hash', data: paymentHash.toString('hex') },
      { tagName: 'payment_secret', data: '11'.repeat(32) },
      { tagName: 'description', data: 'Pura' },
    ],
  });
  return bolt11.sign(unsigned, Buffer.alloc(32, 3)).paymentRequest ?? '';
}

const invoice: Invoice = {
  id: '0198f8a0-0000-7000-8000-000000000002',
  accountId: null,
  payerKeyId: null,
  status: 'pending',
  amountSat: 21,
  bolt11: invoiceText(),
  paymentHash,
  createdAt: new Date(),
  expiresAt: new Date(Date.now() + HOUR_MS),
  receivedMsat: null,
  paidAt: null,
  creditedAt: null,
};

describe('a macaroon', () => {
  const rootKey = randomBytes(32);
  const identifier = randomBytes(66);

  it.each([
    ['no caveat', []],
    ['one', ['key=a']],
    ['some, long and not', ['key=a', 'x'.repeat(300), 'é']],
  ])('is what the reference implementation makes, with %s', (_name, caveats: string[]) => {
    const reference = macaroon.newMacaroon({ identifier, rootKey });
    for (const caveat of caveats) reference.addFirstPartyCaveat(caveat);
    const ours = mintMacaroon(rootKey, identifier, caveats);
    const partsOf = (one: Macaroon) =>
      [one.identifier, ...one.caveats.map((caveat) => caveat.identifier), one.signature].map((part) => Buffer.from(part));
    expect(partsOf(macaroon.importMacaroon(ours))).toEqual(partsOf(reference));
    // The package's export doubles its buffer with every field: three caveats take 800 MB.
    expect(ours).toEqual(caveats.length > 1 ? ours : Buffer.from(reference.exportBinary()));
    const parsed = parseMacaroon(ours);
    expect(parsed).toMatchObject({ identifier, caveats });
    expect(parsed && isGenuine(parsed, rootKey)).toBe(true);
    expect(parsed && isGenuine(parsed, randomBytes(32))).toBe(false);
    expect(() => macaroon.importMacaroon(ours).verify(rootKey, () => null)).not.toThrow();
  });

  it('is refused wherever it is cut off', () => {
    const whole = mintMacaroon(rootKey, identifier, ['key=a', 'prefix=b']);
    for (let length = 0; length < whole.length; length++) expect(parseMacaroon(whole.subarray(0, length))).toBeNull();
    expect(parseMacaroon(Buffer.concat([whole, Buffer.from([0])]))).toBeNull();
  });
});

describe('the token of a payment', () => {
  /** What a holder makes of a token without knowing any secret. */
  function changed(token: string, change: (macaroon: Macaroon) => void): string {
    const held = macaroon.importMacaroon(Buffer.from(token, 'base64'));
    change(held);
    return binaryOf(held).toString('base64');
  }

  /** As the package's own `exportBinary`, which takes gigabytes for a handful of caveats. */
  function binaryOf(held: Macaroon): Buffer {
    const field = (type: number, content: Uint8Array) => Buffer.concat([Buffer.from([type, content.length]), content]);
    const end = Buffer.from([0]);
    const caveats = held.caveats.flatMap(({ identifier, vid }) => [field(2, identifier), ...(vid ? [field(4, vid)] : []), end]);
    return Buffer.concat([Buffer.from([2]), field(2, held.identifier), end, ...caveats, end, field(6, held.signature)]);
  }

  it('names the payment and its key row, and is another one each time', () => {
    const [token, other] = [mintToken(roots, claim), mintToken(roots, claim)];
    expect(token).not.toBe(other);
    expect(readToken(roots, token)).toEqual(claim);
    const identifier = Buffer.from(macaroon.importMacaroon(Buffer.from(token, 'base64')).identifier);
    expect(identifier).toHaveLength(66);
    expect(identifier.subarray(0, 34)).toEqual(Buffer.concat([Buffer.alloc(2), paymentHash]));
    expect(identifier[34]).toBe(7);
  });

  it('is read in either alphabet of base64, with padding and without', () => {
    const token = mintToken(roots, claim);
    for (const form of [token.replace(/=+$/, ''), Buffer.from(token, 'base64').toString('base64url')]) {
      expect(readToken(roots, form)).toEqual(claim);
    }
  });

  it('outlives a change of the root secret, and dies with the root secret that made it', () => {
    const token = mintToken(roots, claim);
    expect(readToken([root('8', 2), ...roots], token)).toEqual(claim);
    expect(readToken([root('8', 2)], token)).toBeNull();
    expect(readToken([root('7', 2)], token)).toBeNull();
  });

  it('is refused with any byte changed', () => {
    const bytes = Buffer.from(mintToken(roots, claim), 'base64');
    for (let index = 0; index < bytes.length; index++) {
      const tampered = Buffer.from(bytes);
      tampered[index] = (tampered[index] ?? 0) ^ 1;
      expect(readToken(roots, tampered.toString('base64'))).toBeNull();
    }
  });

  it('is refused where it is none', () => {
    for (const text of ['', 'x', 'é', '!!!!', 'AgEE', 'A'.repeat(5000)]) expect(readToken(roots, text)).toBeNull();
  });

  it('can be restricted by its holder', () => {
    const token = mintToken(roots, { paymentHash, grant: { ...grant, idleDays: 30 } });
    const soon = Math.floor(Date.now() / 1000) + 60;
    expect(
      readToken(
        roots,
        changed(token, (held) => held.addFirstPartyCaveat(`expires_at=${soon}`)),
      )?.grant.idleDays,
    ).toBe(30);
    expect(
      readToken(
        roots,
        changed(token, (held) => held.addFirstPartyCaveat('idle_days=7')),
      )?.grant.idleDays,
    ).toBe(7);
    expect(
      readToken(
        roots,
        changed(token, (held) => held.addFirstPartyCaveat(`key=${grant.keyId}`)),
      )?.grant.keyId,
    ).toBe(grant.keyId);
  });

  it.each([
    ['an expiry that is over', (held: Macaroon) => held.addFirstPartyCaveat('expires_at=1')],
    [
      'a later expiry after one that is over',
      (held: Macaroon) => ['expires_at=1', 'expires_at=99999999999'].forEach((caveat) => held.addFirstPartyCaveat(caveat)),
    ],
    ['another key row', (held: Macaroon) => held.addFirstPartyCaveat('key=0198f8a0-0000-7000-8000-00000000000f')],
    ["another secret's prefix", (held: Macaroon) => held.addFirstPartyCaveat('prefix=pura_other')],
    ['a condition that nobody here knows', (held: Macaroon) => held.addFirstPartyCaveat('model=gpt')],
    ['a condition that is no condition', (held: Macaroon) => held.addFirstPartyCaveat('anything')],
    ['a condition that is no text', (held: Macaroon) => held.addFirstPartyCaveat(Buffer.from([0x6b, 0xff]))],
    ["a third party's caveat", (held: Macaroon) => held.addThirdPartyCaveat(Buffer.alloc(32), 'ask', 'there')],
  ])('is refused with %s', (_name, change) => {
    expect(readToken(roots, changed(mintToken(roots, claim), change))).toBeNull();
  });

  it('cannot be widened: more idle days count for nothing', () => {
    const token = mintToken(roots, { paymentHash, grant: { ...grant, idleDays: 30 } });
    expect(
      readToken(
        roots,
        changed(token, (held) => held.addFirstPartyCaveat('idle_days=365')),
      )?.grant.idleDays,
    ).toBe(30);
  });

  it('made under the right secret, but for something else, is refused', () => {
    const rootKey = deriveKey(roots[0] as RootSecret, 'macaroon');
    const identifier = Buffer.concat([Buffer.alloc(2), paymentHash, Buffer.from([7]), randomBytes(31)]);
    const made = (caveats: string[], id = identifier) => readToken(roots, mintMacaroon(rootKey, id, caveats).toString('base64'));
    const good = [`key=${grant.keyId}`, `prefix=${grant.keyPrefix}`];
    expect(made(good)).toEqual(claim);
    expect(made(good.slice(0, 1))).toBeNull();
    expect(made(good.slice(1))).toBeNull();
    expect(made(good, Buffer.concat([Buffer.from([0, 1]), identifier.subarray(2)]))).toBeNull();
    expect(made(good, identifier.subarray(0, 65))).toBeNull();
  });

  it('never holds what deployed clients cut out of a challenge', () => {
    for (let count = 0; count < 2_000; count++) expect(mintToken(roots, claim)).not.toMatch(/L402|LSAT/);
  });
});

describe('an MPP challenge', () => {
  const challenge = () => parametersOf(mppChallenge(roots, invoice, { grant, network: 'simulated' }));
  const credential = (echo: Record<string, string>, payload: unknown = { preimage: preimage.toString('hex') }) =>
    Buffer.from(JSON.stringify({ challenge: echo, payload })).toString('base64url');

  function parametersOf(header: string): Record<string, string> {
    expect(header).toMatch(/^Payment /);
    return Object.fromEntries([...header.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
  }

  it('holds the invoice in canonical JSON, and its own proof', () => {
    const parameters = challenge();
    expect(Object.keys(parameters)).toEqual(['id', 'realm', 'method', 'intent', 'request', 'expires']);
    expect(parameters).toMatchObject({ method: 'lightning', intent: 'charge', expires: invoice.expiresAt.toISOString() });
    expect(Buffer.from(parameters['id'] ?? '', 'base64url')).toHaveLength(16 + 32);
    const text = Buffer.from(parameters['request'] ?? '', 'base64url').toString();
    const request = JSON.parse(text) as { methodDetails: object };
    expect(text).toBe(JSON.stringify({ ...sorted(request), methodDetails: sorted(request.methodDetails) }));
    expect(request).toMatchObject({
      amount: '21',
      currency: 'sat',
      methodDetails: { invoice: invoice.bolt11, network: 'regtest', paymentHash: paymentHash.toString('hex') },
    });
    expect(challenge()['id']).not.toBe(parameters['id']);
  });

  it('is not even read where it is longer than any of ours', () => {
    const shown = JSON.parse(Buffer.from(credential(challenge()), 'base64url').toString()) as object;
    const padded = (length: number) => Buffer.from(JSON.stringify({ ...shown, padding: 'x'.repeat(length) })).toString('base64url');
    expect(readMppCredential(roots, padded(100))).not.toBeNull();
    expect(readMppCredential(roots, padded(12_000))).toBeNull();
  });

  it('comes back as the claim that it was made for, also with its secret no longer the newest', () => {
    const echo = challenge();
    const read = readMppCredential([root('8', 2), ...roots], credential(echo));
    expect(read).toEqual({ challengeId: echo['id'], claim, preimage: preimage.toString('hex') });
    expect(readMppCredential([root('8', 2)], credential(echo))).toBeNull();
    const idle = { ...grant, idleDays: 30 };
    const limited = parametersOf(mppChallenge(roots, invoice, { grant: idle, network: 'mainnet' }));
    expect(readMppCredential(roots, credential(limited))?.claim.grant).toEqual(idle);
  });

  it.each(['id', 'realm', 'method', 'intent', 'request', 'expires'])('is refused with another %s', (name) => {
    const one = challenge();
    const foreign = Buffer.from(JSON.stringify({ amount: '1' })).toString('base64url');
    const values: Record<string, string> = { id: `${one['id']?.startsWith('A') ? 'B' : 'A'}${one['id']?.slice(1)}`, request: foreign };
    expect(readMppCredential(roots, credential({ ...one, [name]: values[name] ?? `${one[name]}0` }))).toBeNull();
    const { [name]: _absent, ...without } = one;
    expect(readMppCredential(roots, credential(without))).toBeNull();
  });

  it('is refused where it is none', () => {
    const texts = ['', 'x', 'e30', Buffer.from('null').toString('base64url'), 'A'.repeat(20_000)];
    for (const text of texts) expect(readMppCredential(roots, text)).toBeNull();
  });

  it('is receipted by payment hash, never by preimage', () => {
    const receipt = mppReceipt({ challengeId: 'abc', paymentHash, settledAt: new Date(0) });
    expect(JSON.parse(Buffer.from(receipt, 'base64url').toString())).toEqual({
      challengeId: 'abc',
      method: 'lightning',
      reference: paymentHash.toString('hex'),
      status: 'success',
      timestamp: '1970-01-01T00:00:00.000Z',
    });
  });
});

describe('the headers of a 402', () => {
  const headers = (acceptPayment?: string, network: ChallengeOptions['network'] = 'simulated') => {
    const made = challengeHeaders(invoice, { roots, network, grant, resourceUrl: 'http://pura/v1/x', acceptPayment });
    return { authenticate: made['WWW-Authenticate'] as string[], x402: made['PAYMENT-REQUIRED'] as string };
  };

  it('offer L402 first, its parameters in the order that old parsers need', () => {
    const [l402 = '', mpp = ''] = headers().authenticate;
    expect(l402).toMatch(/^L402 macaroon="([\w+/]+=*)", invoice="lnbcrt\w+", version="0", token="\1"$/);
    expect(mpp).toMatch(/^Payment id="/);
    const { token, invoice: offered } = parseL402(`${l402}, ${mpp}`);
    expect(offered).toBe(invoice.bolt11);
    expect(readToken(roots, token)).toEqual(claim);
  });

  it.each([
    ['lightning/charge', 'Payment'],
    ['lightning/charge, l402', 'Payment'],
    ['stripe/charge, Lightning/Charge;q=1', 'Payment'],
    ['l402', 'L402'],
    ['l402, lightning/charge', 'L402'],
    ['*/*', 'L402'],
    ['', 'L402'],
  ])('put first what Accept-Payment: %s names first', (accept, scheme) => {
    const { authenticate } = headers(accept);
    expect(authenticate).toHaveLength(2);
    expect(authenticate[0]?.split(' ')[0]).toBe(scheme);
  });

  it('offer the same invoice in x402, with the token that must come back', () => {
    const { x402 } = headers(undefined, 'mainnet');
    const offer = JSON.parse(Buffer.from(x402, 'base64').toString()) as { x402Version: number; accepts: { extra: { token: string } }[] };
    expect(offer).toMatchObject({ x402Version: 2, resource: { url: 'http://pura/v1/x' } });
    expect(offer.accepts).toEqual([
      {
        scheme: 'exact',
        network: 'bip122:000000000019d6689c085ae165831e93',
        amount: '21000',
        asset: 'BTC',
        payTo: 'anonymous',
        maxTimeoutSeconds: expect.any(Number),
        extra: { paymentMethod: 'lightning', invoice: invoice.bolt11, token: expect.any(String) },
      },
    ]);
    expect(readToken(roots, offer.accepts[0]?.extra.token ?? '')).toEqual(claim);
  });
});

describe('an x402 signature', () => {
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64');
  const good = { x402Version: 2, payload: { invoice: 'lnbc1' }, accepted: { extra: { invoice: 'lnbc1', token: 'T' } } };

  it('gives the invoice and the token', () => {
    expect(readX402Signature(encoded({ ...good, scheme: 'exact' }))).toEqual({ bolt11: 'lnbc1', token: 'T' });
  });

  it.each([
    ['another version', { ...good, x402Version: 1 }],
    ['two invoices', { ...good, payload: { invoice: 'lnbc2' } }],
    ['no token', { ...good, accepted: { extra: { invoice: 'lnbc1' } } }],
    ['nothing', null],
  ])('is refused with %s', (_name, value) => {
    expect(readX402Signature(encoded(value))).toBeNull();
  });

  it('is refused where it is none', () => {
    for (const header of ['', '!', 'A'.repeat(20_000)]) expect(readX402Signature(header)).toBeNull();
  });
});

function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
