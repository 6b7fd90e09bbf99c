import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { msat, picoUsd, type PicoUsdPerMsat } from '../../../src/amount.ts';
import { satsExact, satsHeld, usd } from '../../../src/http/pages/format.ts';
import { bannersOf } from '../../../src/http/console/overview-banners.ts';
import { freeze } from '../../../src/operator/freezing.ts';
import { reasonSentence, type Reason } from '../../../src/autopay/wallet-word.ts';
import type { Session } from '../../../src/accounts/sessions.ts';
import { startFakeProvider, type FakeProvider } from '../../support/fake-provider.ts';
import { chat } from '../../support/chat.ts';
import { startGateway, type TestGateway, type TestKey } from '../../support/gateway.ts';
import { anAct } from '../../support/operator.ts';
import { signedIn, type SignedIn } from '../../support/signed-in.ts';

const CONTACT = 'help@pura.example';

let upstream: FakeProvider;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ deployments: [upstream.deployment()], env: { FREE_TIER_REQUESTS: '2', CONTACT } });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});

async function newcomer(settings: object = {}): Promise<{ key: TestKey; person: SignedIn }> {
  const key = await gateway.newKey({ ...settings });
  return { key, person: await signedIn(gateway.url, key.secret) };
}
async function setUpAutopay(
  { accountId }: TestKey,
  { state, reason }: { state: string; reason: string | null } = { state: 'on', reason: null },
) {
  await gateway.pool.query(
    `insert into autopay (account_id, connection, relay_hosts, threshold_sat, topup_sat, daily_limit_sat, state, reason)
     values ($1, 'x', '{relay.example}', 1, 100, 100, $2, $3)`,
    [accountId, state, reason],
  );
}
async function useUpFree(key: TestKey) {
  for (let sent = 0; sent < 2; sent++) await (await gateway.post('/v1/chat/completions', chat(), key)).text();
}
const words = (html: string) =>
  html
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll('&#39;', '’')
    .replaceAll(/\s+/g, ' ');

describe('the overview', () => {
  it('tells newcomers what to do first', async () => {
    const { key, person } = await newcomer();
    expect(words((await person.ask('/console')).html)).toMatch(
      /2 free requests left\. Top up any time.*First steps Send a first request Top up Link a wallet/,
    );
    await gateway.fund(key, 1_000);
    expect(words((await person.ask('/console')).html)).toContain('✓ Top up done');
    await setUpAutopay(key);
    expect(words((await person.ask('/console')).html)).toContain('✓ Set up autopay: the balance never runs dry done');
  });

  const sentences: [string, (key: TestKey) => Promise<unknown>, RegExp][] = [
    [
      'never funded',
      () => Promise.resolve(),
      /2 free requests left\. Top up any time; what you pay stays yours until it is spent\. Top up/,
    ],
    [
      'empty',
      (key) => useUpFree(key),
      /The free requests are used up and the balance is empty\. Requests get 402 until you top up\. Top up/,
    ],
    [
      'low',
      async (key) => {
        await useUpFree(key);
        await gateway.fund(key, 99);
      },
      /(Less than 100 sats are left|About [\w ]+ left at this pace)\. Top up Set up autopay/,
    ],
    [
      'budget used up',
      (key) => gateway.patchKey(key, { dailyBudgetUsd: 0 }),
      /This key has used its \$0\.00 for today\. It goes on at 00:00 UTC, in [\dhmins ]+\. Raise the limit/,
    ],
    [
      'account frozen',
      ({ accountId }) => freeze(gateway.pool, { ...anAct(), accountId }),
      new RegExp(`The operator has paused this account\\. Your balance is kept\\. Contact: ${CONTACT}`),
    ],
    [
      'autopay paused',
      async (key) => {
        await setUpAutopay(key, { state: 'paused', reason: 'QUOTA_EXCEEDED' });
        await gateway.pool.query(
          `insert into autopay_attempts (invoice_id, account_id, amount_sat, started_at, answer, ended_at)
           select id, account_id, 100, '2026-01-02T17:31:00Z', 'QUOTA_EXCEEDED', now() from invoices where account_id = $1 limit 1`,
          [key.accountId],
        );
      },
      /Autopay stopped after three failures: your wallet says its budget is used up\. Last try [^.]*17:31[^.]*\. Try again/,
    ],
    [
      'autopay stopped',
      (key) => setUpAutopay(key, { state: 'stopped', reason: 'EXPIRED' }),
      /Autopay stopped: your wallet says that this connection has expired\. Connect a wallet/,
    ],
  ];
  it.each(sentences)('says so: %s', async (_state, make, sentence) => {
    const { key, person } = await newcomer();
    await (await gateway.post('/api/wallet/fund', { amount: 100 }, key)).text();
    await make(key);
    expect(words((await person.ask('/console')).html)).toMatch(sentence);
  });

  it('lets autopay go on by one press, and says on the wallets page what it says here', async () => {
    const { key, person } = await newcomer();
    await setUpAutopay(key, { state: 'paused', reason: 'SILENT' });
    const why = 'Autopay stopped after three failures: your wallet did not answer.';
    const { html } = await person.ask('/console');
    expect(words(html)).toContain(why);
    expect(words((await person.ask('/console/wallets')).html)).toContain(why);
    const [, act = ''] = /<form method="post" action="([^"]+)"><button[^>]*>Try again/.exec(html) ?? [];
    expect((await person.ask(act, {})).status).toBe(303);
    expect(words((await person.ask('/console')).html)).not.toContain('Autopay stopped');
  });

  it('tells owners alone of autopay, and everybody of every page that the account is frozen', async () => {
    const { key } = await newcomer();
    await setUpAutopay(key, { state: 'paused', reason: 'SILENT' });
    const { key: secret } = (await (await gateway.post('/api/keys', {}, key)).json()) as { key: string };
    const asking = await signedIn(gateway.url, secret);
    expect(words((await asking.ask('/console')).html)).not.toContain('Autopay');
    await gateway.fund(key, 5_000);
    await freeze(gateway.pool, { ...anAct(), accountId: key.accountId });
    expect(words((await asking.ask('/console')).html)).toContain(
      'You can spend 0 sats ≈ $0.00 The account is paused. The balance is 5,000 sats.',
    );
    for (const page of ['', '/usage', '/top-up', '/playground']) {
      expect(words((await asking.ask(`/console${page}`)).html)).toContain('The operator has paused this account.');
    }
  });

  it('has the figures of the API, to the msat', async () => {
    const { key, person } = await newcomer();
    await gateway.fund(key, 5_000);
    for (let sent = 0; sent < 4; sent++) expect((await gateway.post('/v1/chat/completions', chat(), key)).status).toBe(200);
    const balance = (await (await gateway.get('/api/wallet/balance', key)).json()) as { availableMsat: number; dailySpendUsd: number };
    const report = (await (await gateway.get('/api/report?period=7d', key)).json()) as {
      totalChargedMsat: number;
      totalSpendUsd: number;
      requestCount: number;
    };
    const text = words((await person.ask('/console')).html);
    expect(report.totalChargedMsat).toBeGreaterThan(0);
    expect(text).toContain(`You can spend ${satsHeld(msat(BigInt(balance.availableMsat)))} sats`);
    expect(text).toContain(`${satsExact(msat(BigInt(report.totalChargedMsat)))} sats · ${report.requestCount} requests`);
    expect(text).toContain(`Total ${report.requestCount} ${usd(report.totalSpendUsd)} ${satsExact(msat(BigInt(report.totalChargedMsat)))}`);
    expect(text).toContain(`Today, this key ${usd(balance.dailySpendUsd)} of $10.00`);
    for (const period of ['24h', '30d', 'nonsense']) expect((await person.ask(`/console?period=${period}`)).status).toBe(200);
  });

  it('says which limit binds', async () => {
    const { key, person } = await newcomer({ dailyBudgetUsd: 0.5 });
    await gateway.fund(key, 5_000);
    expect(words((await person.ask('/console')).html)).toMatch(
      /You can spend 500 sats ≈ \$0\.5000 Today’s budget of this key is what limits it\. The balance is 5,000 sats/,
    );
  });

  it('shows an inference key its own figures alone', async () => {
    const { key } = await newcomer();
    await gateway.fund(key, 1_000);
    const { key: secret } = (await (await gateway.post('/api/keys', { label: 'bot' }, key)).json()) as { key: string };
    for (let sent = 0; sent < 3; sent++) await (await gateway.post('/v1/chat/completions', chat(), key)).text();
    const { html } = await (await signedIn(gateway.url, secret)).ask('/console');
    expect(words(html)).toContain('Send a first request');
    expect(html).not.toMatch(/href="\/console\/(keys|withdraw|wallets|statement)/);
  });
});

describe('what stands above everything', () => {
  const rate = 1_000_000n as PicoUsdPerMsat;
  const now = Date.UTC(2026, 0, 2, 20, 48);
  const state = (more: object = {}) => ({
    account: {
      id: 'a',
      postedMsat: msat(0n),
      heldMsat: msat(0n),
      freeRequestsUsed: 0,
      freeRequestsLimit: 5000,
      freeRequestsRemaining: 0,
      isFrozen: false,
    },
    availableMsat: msat(5_000_000n),
    session: { key: { id: 'k', dailyBudgetPicoUsd: picoUsd(10_000_000_000_000n) } } as unknown as Session,
    budget: { usedPicoUsd: picoUsd(0n), resetsAt: new Date(now + 11_520_000) },
    runway: null,
    isFunded: true,
    rate,
    owner: true,
    autopay: null,
    nowMs: now,
    ...more,
  });
  const autopay = (reason: Reason, more: object = {}) => ({
    ...{ state: 'paused', reason, reasonText: reasonSentence(reason), last: null, ...more },
  });
  const runway = (daysLeft: number) => ({ meanDailyMsat: msat(1n), daysLeft });

  it.each<[string, object, string[]]>([
    ['all is well', {}, []],
    ['no rate', { rate: null }, ['There is no current exchange rate, so nothing can be priced. Nothing was charged.']],
    [
      'never funded',
      { isFunded: false, availableMsat: msat(0n), account: { ...state().account, freeRequestsRemaining: 4_812 } },
      ['4,812 free requests left. Top up any time; what you pay stays yours until it is spent.'],
    ],
    [
      'nothing left',
      { isFunded: false, availableMsat: msat(0n) },
      ['The free requests are used up and the balance is empty. Requests get 402 until you top up.'],
    ],
    ['hours left', { runway: runway(5 / 24) }, ['About 5 h left at this pace.']],
    ['days left', { runway: runway(9) }, []],
    ['little left', { availableMsat: msat(99_999n) }, ['Less than 100 sats are left.']],
    [
      'budget used up',
      { budget: { usedPicoUsd: picoUsd(10_000_000_000_000n), resetsAt: new Date(now + 11_520_000) } },
      ['This key has used its $10.00 for today. It goes on at 00:00 UTC, in 3 h 12 min.'],
    ],
    ['autopay, paused by its owner', { autopay: autopay('OWNER') }, []],
    ['autopay that goes on', { autopay: autopay('SILENT', { state: 'waiting' }) }, []],
    [
      'autopay after three failures',
      { autopay: autopay('PAYMENT_FAILED') },
      ['Autopay stopped after three failures: your wallet found no way to pay.'],
    ],
    [
      'autopay without an owner',
      { autopay: autopay('NO_OWNER_KEY') },
      ['Autopay stopped: the account has no owner key without an expiry.'],
    ],
  ])('%s', (_name, more, texts) => {
    expect(bannersOf(state(more)).map(({ text }) => text)).toEqual(texts);
  });
});

describe('topping up', () => {
  const open = async (person: SignedIn) =>
    [...(await person.ask('/console/top-up')).html.matchAll(/Continue with ([\d,]+) sats/g)].map(([, sats]) => sats);

  it.each(['1000', '5000', '10000', '50000', 'own'])('makes an invoice of what was chosen, once a form: %s', async (amount) => {
    const { key, person } = await newcomer();
    const { html } = await person.ask('/console/top-up');
    const nonce = /name="nonce" value="([^"]+)"/.exec(html)?.[1] ?? '';
    const answers = await Promise.all([1, 2, 3].map(() => person.ask('/console/top-up', { nonce, amount, own: '1,234' })));
    const places = new Set(answers.map(({ headers }) => headers.get('location')));
    expect(places.size).toBe(1);
    const [, id = ''] = /^\/invoice\/([^?]+)\?from=console$/.exec([...places][0] ?? '') ?? [];
    const wanted = amount === 'own' ? 1_234 : Number(amount);
    expect(await gateway.server.funding.status(key.accountId, id)).toMatchObject({ amountSat: wanted, status: 'pending' });
    expect(await open(person)).toEqual([wanted.toLocaleString('en-US')]);
  });

  it.each(['99', '1000001', '1.5', 'many', '', '-100'])('takes no other amount, and keeps it: %p', async (own) => {
    const { person } = await newcomer();
    const answer = await person.ask('/console/top-up', { amount: 'own', own });
    expect(answer.status).toBe(400);
    expect(words(answer.html)).toContain('The amount is a whole number of sats from 100 to 1,000,000.');
    expect(answer.html).toContain(`value="${own}"`);
  });

  it('says where no invoice can be made, and offers none', async () => {
    const { person } = await newcomer();
    const away = jest.spyOn(gateway.server.wallet, 'status').mockRejectedValue(new Error('away'));
    try {
      const { html } = await person.ask('/console/top-up');
      expect(words(html)).toContain('No invoice can be made right now. Your balance keeps working.');
      expect(html).toMatch(/<fieldset[^>]*disabled/);
    } finally {
      away.mockRestore();
    }
  });

  it('shows the five open invoices instead of a sixth', async () => {
    const { person } = await newcomer();
    for (let made = 0; made < 5; made++) await person.ask('/console/top-up', { amount: '1000' });
    const sixth = await person.ask('/console/top-up', { amount: '1000' });
    expect(sixth.status).toBe(429);
    expect(words(sixth.html)).toContain('Five invoices are open already');
    expect(await open(person)).toHaveLength(5);
  });

  it('is for whoever is signed in, and for no other site', async () => {
    const { key, person } = await newcomer();
    expect((await person.ask('/console/top-up', { amount: '1000' }, { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    const { key: secret } = (await (await gateway.post('/api/keys', {}, key)).json()) as { key: string };
    expect((await (await signedIn(gateway.url, secret)).ask('/console/top-up', { amount: '1000' })).status).toBe(303);
  });
});
