import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { bech32 } from '@scure/base';
import { createInvoice, getInvoice, signMessage } from 'lightning';
import { Handles } from '../../src/lnurl/handles.ts';
import { WithdrawCodes, type WithdrawRequest } from '../../src/lnurl/withdraw-codes.ts';
import { createLog } from '../../src/log.ts';
import { Withdrawing } from '../../src/withdrawing.ts';
import { startLndGateway, type LndGateway } from '../regtest/lnd-gateway.ts';
import { startRegtest, type Regtest } from '../regtest/regtest.ts';
import { authWallet, CANONICAL_PHRASE, codeOn } from '../support/auth-wallet.ts';
import { CookieBrowser } from '../support/cookie-browser.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { ownerOf } from '../support/funded.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { lightningAddressClient } from '../support/lightning-address-client.ts';
import { until } from '../support/until.ts';

let regtest: Regtest;
let database: TestDatabase;
let gateway: LndGateway;
let codes: WithdrawCodes;

beforeAll(async () => {
  [regtest, database] = await Promise.all([startRegtest(), createTestDatabase({ max: 20 })]);
  const macaroon = await regtest.gateway.leastMacaroon({ pays: true });
  gateway = await startLndGateway(regtest.gateway, { database, env: { WITHDRAWALS: 'true', LND_MACAROON: macaroon.toString('hex') } });
  // What the console's page asks for a code; whoever uses it asks the gateway.
  const { wallet } = gateway.server;
  const { pool } = gateway;
  codes = new WithdrawCodes({
    pool,
    wallet,
    withdrawing: new Withdrawing({ pool, wallet, log: createLog('silent'), observe: () => {}, allowed: true, maxFeePercent: 1 }),
  });
});
afterAll(async () => {
  await gateway?.close();
  await database?.drop();
  await regtest?.close();
});
afterEach(async () => {
  expect(await gateway.audit()).toEqual([]);
});

/** Pays to the account's address as a payer's wallet does; gives what that wallet has then. */
async function payAddress(key: TestKey, satoshi: number, comment: string) {
  const client = lightningAddressClient(gateway.url, await new Handles(gateway.pool).of(key.accountId));
  await client.fetch();
  const invoice = await client.requestInvoice({ satoshi, comment });
  const preimage = await regtest.pay(invoice.paymentRequest);
  return { invoice, preimage, hash: client.lnurlpData?.metadataHash };
}

/** Scans a code as a phone's wallet does, and asks what may be taken. */
async function scan(key: TestKey): Promise<WithdrawRequest> {
  const { lnurl } = await codes.makeCode(await ownerOf(gateway.pool, key), gateway.url);
  const { words } = bech32.decode(lnurl.toLowerCase() as `${string}1${string}`, false);
  return (await (await fetch(Buffer.from(bech32.fromWords(words)).toString())).json()) as WithdrawRequest;
}

async function take({ callback, k1 }: WithdrawRequest, pr: string): Promise<{ status: string; reason?: string }> {
  return (await (await fetch(`${callback}?k1=${k1}&pr=${pr}`)).json()) as { status: string; reason?: string };
}

describe('wallets on a real LND', () => {
  it('pay to an address through its invoice with a hash, which LND keeps with our own description', async () => {
    const key = await gateway.newKey();
    const { invoice, preimage, hash } = await payAddress(key, 2_100, 'from a reader');
    await gateway.credited(key, [2_100_000n], 1_000);
    await until(() => invoice.verifyPayment());
    expect([invoice.preimage, invoice.validatePreimage(preimage)]).toEqual([preimage, true]);
    const kept = await getInvoice({ lnd: regtest.gateway.lnd, id: invoice.paymentHash });
    expect(kept).toMatchObject({ description_hash: hash, description: expect.stringMatching(/^Pura top-up: 2100 sats /), received: 2_100 });
  });

  it('are credited once each, many at the same time', async () => {
    const key = await gateway.newKey();
    await Promise.all(Array.from({ length: 8 }, (_, index) => payAddress(key, 100, `#${index}`)));
    await gateway.credited(
      key,
      Array.from({ length: 8 }, () => 100_000n),
    );
  });

  it('take a balance out by a code, once, however many use it at the same time', async () => {
    const key = await gateway.newKey();
    await payAddress(key, 10_000, 'to be taken out');
    await gateway.credited(key, [10_000_000n]);
    const asked = await scan(key);
    expect(asked).toMatchObject({ tag: 'withdrawRequest', minWithdrawable: 1_000, maxWithdrawable: 9_900_000 });
    const invoices = await Promise.all(Array.from({ length: 6 }, () => createInvoice({ lnd: regtest.payer.lnd, tokens: 9_000 })));
    const answers = await Promise.all(invoices.map(({ request }) => take(asked, request)));
    expect(answers.filter(({ status }) => status === 'OK')).toHaveLength(1);
    const [paid] = invoices.filter((_, index) => answers[index]?.status === 'OK');
    await until(async () => (await codes.codeState(key.accountId))?.state === 'paid', 20_000);
    const told = await Promise.all(invoices.map(({ id }) => getInvoice({ lnd: regtest.payer.lnd, id })));
    expect(told.filter(({ is_confirmed }) => is_confirmed).map(({ id }) => id)).toEqual([paid?.id]);
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 1_000_000n, held_msat: 0n });
    expect(await take(asked, paid?.request ?? '')).toEqual({ status: 'OK' });
  });
});

it('a wallet whose keys LND derives links, signs in elsewhere, and confirms', async () => {
  const key = await gateway.newKey();
  // As wallets on LND do it (LUD-13): the node's signature of a text that is the same for all makes the key, and is the same each time.
  const phrase = async () => (await signMessage({ lnd: regtest.payer.lnd, message: CANONICAL_PHRASE })).signature;
  const [wallet, again] = [authWallet(await phrase()), authWallet(await phrase())];
  const { hostname } = new URL(gateway.url);
  expect(again.linkingKey(hostname)).toBe(wallet.linkingKey(hostname));
  expect(authWallet((await signMessage({ lnd: regtest.gateway.lnd, message: CANONICAL_PHRASE })).signature).linkingKey(hostname)).not.toBe(
    wallet.linkingKey(hostname),
  );
  const owner = await new CookieBrowser(gateway.url).signIn(key.secret);
  expect(await wallet.scan(codeOn((await owner.ask('/console/wallets/link', {})).html))).toEqual({ status: 'OK', event: 'LINKED' });
  expect((await owner.ask('/console/wallets/claim', {})).location).toBe('/console/wallets?done=linked');
  // The same node in another app: the same wallet.
  const phone = new CookieBrowser(gateway.url);
  expect(await again.scan(codeOn((await phone.ask('/console/sign-in/wallet', {})).html))).toEqual({ status: 'OK', event: 'LOGGEDIN' });
  expect((await phone.ask('/console/sign-in/wallet/claim', {})).location).toBe('/console');
  const asked = await phone.ask('/console/withdraw/code', {});
  expect(asked.html).toContain('Confirm: show a code to withdraw');
  expect(await again.scan(codeOn(asked.html))).toEqual({ status: 'OK', event: 'AUTHED' });
  await payAddress(key, 500, 'to be shown a code for');
  await gateway.credited(key, [500_000n]);
  expect((await phone.ask('/console/withdraw/code', { confirm_wallet: 'yes' })).html).toContain(
    'Scan it with the wallet that gets the money',
  );
});
