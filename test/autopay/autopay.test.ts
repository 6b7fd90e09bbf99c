import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { msat } from '../../src/amount.ts';
import { Autopay, type AutopayOptions } from '../../src/autopay/autopay.ts';
import type { AutopayAmounts } from '../../src/autopay/autopay-settings.ts';
import { createNotifications, type Notifications } from '../../src/db/notify.ts';
import type { Funding } from '../../src/funding.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { RelayPool, type SignedEvent } from '../../src/lightning/nwc/relay-pool.ts';
import { RelaySockets } from '../../src/lightning/nwc/relay-socket.ts';
import { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import { createLog } from '../../src/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addOwner, depositsOf, openFunding, TEST_ROOT } from '../support/funded.ts';
import { startNostrRelay, type NostrRelay } from '../support/nostr-relay.ts';
import { startNwcPayerService, type NwcPayerService, type NwcPayerServiceOptions, type Paying } from '../support/nwc-payer-service.ts';
import { until } from '../support/until.ts';

const AMOUNTS: AutopayAmounts = { thresholdSat: 1_000, topupSat: 5_000, dailyLimitSat: 10_000 };
const LOW = { availableMsat: msat(0n), shortfallMsat: msat(1_000n) };
const PAYERS = { allowLoopback: true, payDeadlineMs: 20_000 };
/** For wallets that do not answer. */
const IMPATIENT = { ...PAYERS, payDeadlineMs: 300 };

let database: TestDatabase;
let notifications: Notifications;
let node: SimulatedWallet;
let relay: NostrRelay;
let owner: ActingKey;
const closing: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  // The library's wallet tells of each method that it does not know.
  jest.spyOn(console, 'warn').mockImplementation(() => {});
  database = await createTestDatabase({ max: 20 });
  notifications = createNotifications(database.connectionString);
  node = new SimulatedWallet({ pool: database.pool, notifications, root: TEST_ROOT });
  relay = await startNostrRelay();
});
afterAll(async () => {
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  await relay.stop();
  await notifications.close();
  await database.drop();
});
beforeEach(async () => {
  owner = await addOwner(database.pool);
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  // What a test leaves behind is no business of the next one's.
  await database.pool.query('delete from autopay');
});

/** One gateway's share of it. */
function gateway(options: Partial<AutopayOptions> = {}): { autopay: Autopay; funding: Funding } {
  const { funding, close } = openFunding(database, node);
  const log = createLog('silent');
  const given = { pool: database.pool, wallet: node, funding, notifications, roots: [TEST_ROOT], log, payers: PAYERS };
  const autopay = new Autopay({ observe: () => {}, ...given, repeatMs: 1, helpMs: 20_000, ...options });
  closing.push(close, () => autopay.close());
  return { autopay, funding };
}

async function wallet(options: Partial<NwcPayerServiceOptions> = {}): Promise<NwcPayerService> {
  const service = await startNwcPayerService({ relayUrls: [relay.url], pay: (invoice) => node.pay(invoice), ...options });
  closing.push(() => service.close());
  return service;
}

/** A gateway and a wallet, connected. */
async function connected(does: Paying = 'pays', amounts: Partial<AutopayAmounts> = {}, options: Partial<AutopayOptions> = {}) {
  const service = await wallet();
  service.does = does;
  const isSilent = does === 'silent' || does === 'paysSilently';
  const { autopay, funding } = gateway({ ...(isSilent && { payers: IMPATIENT }), ...options });
  await autopay.store(owner, { ...AMOUNTS, ...amounts, nwcUrl: service.url });
  return { autopay, funding, service };
}

const stateOf = (autopay: Autopay) => autopay.autopayState(owner.accountId);
const deposits = async () => (await depositsOf(database.pool, owner.accountId)).deposits;

interface AttemptRow {
  invoice_id: string;
  answer: string | null;
  ended_at: Date | null;
}
async function attempts(): Promise<AttemptRow[]> {
  const { rows } = await database.pool.query<AttemptRow>(
    'select invoice_id, answer, ended_at from autopay_attempts where account_id = $1 order by started_at',
    [owner.accountId],
  );
  return rows;
}
/** Waits for the wallet's word on the attempt of that number. */
const answered = (count = 1) => until(async () => (await attempts())[count - 1]?.answer);

/** The time passes at which the account's open invoice expires, and the node cancels it where it was not paid. */
async function expire(autopay: Autopay): Promise<void> {
  const { rows } = await database.pool.query<{ payment_hash: Buffer }>(
    `update invoices set expires_at = clock_timestamp() - interval '1 second' where account_id = $1 and autopay and state = 'open' returning payment_hash`,
    [owner.accountId],
  );
  for (const { payment_hash: hash } of rows)
    await database.pool.query(`update simulated_invoices set state = 'canceled' where payment_hash = $1 and state = 'open'`, [hash]);
  await autopay.run();
}
const waitIsOver = () => database.pool.query('update autopay set not_before = clock_timestamp() where account_id = $1', [owner.accountId]);

/** Lets an attempt begin and end unpaid. */
async function failOnce(autopay: Autopay, count: number): Promise<void> {
  await waitIsOver();
  await autopay.run();
  await answered(count);
  await expire(autopay);
}

describe('a balance under the threshold', () => {
  it('is topped up by the wallet, once, whoever triggers that and how often', async () => {
    const { autopay, service } = await connected();
    const { autopay: beside } = gateway();
    await beside.run();
    const triggers = Array.from({ length: 32 }, () => [autopay.help(owner.accountId, LOW), beside.help(owner.accountId, LOW)]).flat();
    for (const each of [autopay, beside]) each.spent(owner.accountId, msat(0n));
    expect(new Set(await Promise.all([...triggers, autopay.run(), beside.run()]))).toContain(true);
    await until(async () => (await attempts())[0]?.ended_at);
    expect(service.asked).toHaveLength(1);
    expect(await deposits()).toEqual([5_000_000n]);
    const { rows } = await database.pool.query(`select via from transfers where account_id = $1`, [owner.accountId]);
    expect(rows).toEqual([{ via: 'autopay' }]);
    expect(await stateOf(beside)).toMatchObject({
      state: 'on',
      spentTodaySat: 5_000,
      last: { outcome: 'paid', amountSat: 5_000, reason: null },
    });
    // It is enough now.
    await autopay.run();
    expect(await attempts()).toHaveLength(1);
  });

  it.each([
    ['above the threshold', msat(1_000_000n)],
    ['of an account without autopay', msat(0n)],
  ])('does nothing %s', async (_name, availableMsat) => {
    const { autopay, service } = await connected();
    const account = availableMsat === 0n ? (await addOwner(database.pool)).accountId : owner.accountId;
    autopay.spent(account, availableMsat);
    expect(await autopay.help(account, { ...LOW, availableMsat })).toBe(false);
    expect(service.asked).toEqual([]);
  });

  it('is left alone while the account is frozen', async () => {
    const { autopay, service } = await connected();
    await database.pool.query('update accounts set frozen_at = now() where id = $1', [owner.accountId]);
    await autopay.run();
    expect(await autopay.help(owner.accountId, LOW)).toBe(false);
    expect(service.asked).toEqual([]);
  });

  it('asks with the expiry of a minute, for an invoice of two', async () => {
    const { autopay, service } = await connected();
    const sockets = new RelaySockets(PAYERS);
    const pool = new RelayPool(sockets);
    closing.push(() => sockets.close());
    let seen: (event: SignedEvent) => void = () => {};
    const asked = new Promise<SignedEvent>((resolve) => (seen = resolve));
    await new Promise<string>((resolve) => {
      pool.subscribe([relay.url], { kinds: [23194], authors: [service.clientPubkey] }, { onevent: seen, onconnect: resolve });
    });
    expect(await autopay.help(owner.accountId, LOW)).toBe(true);
    const { tags, created_at: createdAt } = await asked;
    expect(tags).toContainEqual(['expiration', String(createdAt + 60)]);
    expect(tags).toContainEqual(['encryption', 'nip44_v2']);
    const { rows } = await database.pool.query<{ seconds: number }>(
      `select extract(epoch from expires_at - created_at)::float as seconds from invoices where account_id = $1`,
      [owner.accountId],
    );
    expect(rows[0]?.seconds).toBeGreaterThan(115);
    expect(rows[0]?.seconds).toBeLessThan(125);
  });
});

describe('the day’s limit', () => {
  it('is kept under parallel triggers', async () => {
    const { autopay, service } = await connected('pays', { thresholdSat: 1_000_000 });
    const { autopay: beside } = gateway();
    await beside.run();
    for (let round = 0; round < 4; round++)
      await Promise.all(Array.from({ length: 16 }, () => [autopay.help(owner.accountId, LOW), beside.help(owner.accountId, LOW)]).flat());
    await until(async () => (await attempts()).every(({ ended_at }) => ended_at));
    expect(service.asked).toHaveLength(2);
    expect(await deposits()).toEqual([5_000_000n, 5_000_000n]);
    expect(await stateOf(autopay)).toMatchObject({ state: 'waiting', reasonText: "today's limit is reached", spentTodaySat: 10_000 });
    const { nextTryAt } = (await stateOf(autopay)) ?? {};
    expect(nextTryAt?.toISOString()).toMatch(/T00:00:00.000Z$/);
  });

  it('counts an attempt from its beginning, and not any more once it is certain that it was not paid', async () => {
    const { autopay } = await connected('silent', { dailyLimitSat: 5_000 });
    await autopay.run();
    await answered();
    expect(await stateOf(autopay)).toMatchObject({ spentTodaySat: 5_000, last: { outcome: 'pending' } });
    await expire(autopay);
    expect(await stateOf(autopay)).toMatchObject({ spentTodaySat: 0, last: { outcome: 'unpaid' } });
  });

  it('counts what was paid late all the same', async () => {
    const { autopay, funding } = await connected('silent', { dailyLimitSat: 5_000 });
    await autopay.run();
    await answered();
    await expire(autopay);
    await database.pool.query(
      `update simulated_invoices set state = 'settled', received_msat = amount_msat, settle_index = nextval('simulated_settle_index'),
      settled_at = now() where payment_hash = (select payment_hash from invoices where account_id = $1)`,
      [owner.accountId],
    );
    await funding.outcome((await attempts())[0]?.invoice_id ?? '');
    expect(await stateOf(autopay)).toMatchObject({ spentTodaySat: 5_000, last: { outcome: 'paid' } });
    await waitIsOver();
    await database.pool.query('update autopay set threshold_sat = 1000000 where account_id = $1', [owner.accountId]);
    await autopay.run();
    expect(await attempts()).toHaveLength(1);
  });
});

describe('an attempt', () => {
  it('is the only one until its invoice is final at our node, and the next one is another invoice', async () => {
    const { autopay, service } = await connected('silent');
    const { autopay: beside } = gateway();
    await autopay.run();
    await answered();
    await waitIsOver();
    for (const each of [autopay, beside, autopay, beside]) await each.run();
    expect(await autopay.help(owner.accountId, LOW)).toBe(false);
    expect(service.asked).toHaveLength(1);
    await expire(beside);
    service.does = 'pays';
    await waitIsOver();
    await autopay.run();
    await until(async () => (await deposits()).length > 0);
    expect(new Set(service.asked).size).toBe(2);
  });

  it('stays open past the expiry while the node has not said that it takes no payment any more', async () => {
    const { autopay } = await connected('silent');
    await autopay.run();
    await answered();
    const past = (time: string) =>
      database.pool.query(`update invoices set expires_at = clock_timestamp() - $2::interval where account_id = $1`, [
        owner.accountId,
        time,
      ]);
    await past('9 minutes');
    await autopay.run();
    expect((await attempts())[0]?.ended_at).toBeNull();
    await past('11 minutes');
    await autopay.run();
    expect((await attempts())[0]?.ended_at).toBeInstanceOf(Date);
  });

  it.each<[string, Paying]>([
    ['says that it failed', { paysAndSays: 'PAYMENT_FAILED' }],
    ['says that the connection is dead', { paysAndSays: 'UNAUTHORIZED' }],
    ['says nothing', 'paysSilently'],
  ])('that was paid is credited once where the wallet %s', async (_name, does) => {
    const { autopay } = await connected(does);
    await autopay.run();
    await answered();
    await expire(autopay);
    await autopay.run();
    expect(await deposits()).toEqual([5_000_000n]);
    expect(await stateOf(autopay)).toMatchObject({ state: 'on', reason: null, last: { outcome: 'paid', reason: null } });
  });

  it('that the wallet says it has paid is not credited by that', async () => {
    const { autopay } = await connected('lies');
    await autopay.run();
    await answered();
    expect(await deposits()).toEqual([]);
    await expire(autopay);
    expect(await deposits()).toEqual([]);
    expect(await stateOf(autopay)).toMatchObject({ state: 'waiting', reason: 'PAID', last: { outcome: 'unpaid' } });
  });

  it('has an invoice that is offered and shown to nobody, and that is not one of the five', async () => {
    const { autopay, funding, service } = await connected('silent');
    await autopay.run();
    await answered();
    const id = (await attempts())[0]?.invoice_id ?? '';
    await expect(funding.status(owner.accountId, id)).rejects.toMatchObject({ code: 'invoice_not_found' });
    await expect(funding.statusOfPage(id)).rejects.toMatchObject({ code: 'invoice_not_found' });
    expect(await funding.peek(id)).toBeUndefined();
    const offered = await funding.offer(owner, { shortfallMsat: msat(5_000_000n), topupSats: 5_000 });
    expect(offered.bolt11).not.toBe(service.asked[0]);
    for (let more = 1; more < 5; more++) await funding.fund(owner, { amountSat: 5_000 });
    await expect(funding.fund(owner, { amountSat: 5_000 })).rejects.toMatchObject({ code: 'too_many_invoices' });
  });

  it('that could not get as far as the wallet is no failure of the wallet', async () => {
    const { autopay, service } = await connected();
    await database.pool.query('alter table simulated_invoices add constraint broken check (false) not valid');
    await autopay.run();
    const failed = `select from invoices where account_id = $1 and state = 'creating' and checks > 0`;
    await until(async () => (await database.pool.query(failed, [owner.accountId])).rowCount === 1);
    await database.pool.query('alter table simulated_invoices drop constraint broken');
    await database.pool.query(`update invoices set state = 'failed' where account_id = $1 and state = 'creating'`, [owner.accountId]);
    await autopay.run();
    expect(service.asked).toEqual([]);
    const { rows } = await database.pool.query('select state, failures, not_before > now() as waits from autopay where account_id = $1', [
      owner.accountId,
    ]);
    expect(rows).toEqual([{ state: 'on', failures: 0, waits: true }]);
  });
});

/** The pause until the next attempt, in minutes. */
async function minutesToWait(): Promise<number> {
  const { rows } = await database.pool.query<{ minutes: number }>(
    'select extract(epoch from not_before - clock_timestamp())::float / 60 as minutes from autopay where account_id = $1',
    [owner.accountId],
  );
  return Math.ceil(rows[0]?.minutes ?? 0);
}

describe('a wallet that does not pay', () => {
  it.each([
    'INSUFFICIENT_BALANCE',
    'PAYMENT_FAILED',
    'INTERNAL',
    'OTHER',
    'NOT_FOUND',
    'BAD_REQUEST',
    'RATE_LIMITED',
    'MADE_UP',
    'silent',
    'lies',
  ])('and says %s is asked again after a while, and not any more after three times', async (word) => {
    const { autopay } = await connected(word === 'silent' || word === 'lies' ? word : { says: word });
    const waits: number[] = [];
    for (let count = 1; count <= 3; count++) {
      await failOnce(autopay, count);
      waits.push(await minutesToWait());
      expect(await stateOf(autopay)).toMatchObject({ state: count < 3 ? 'waiting' : 'paused', spentTodaySat: 0 });
    }
    expect(waits.slice(0, 2)).toEqual([5, 30]);
    expect((await stateOf(autopay))?.reasonText).toMatch(/^your wallet /);
    await autopay.run();
    expect(await attempts()).toHaveLength(3);
    await autopay.resume(owner);
    await autopay.run();
    expect(await attempts()).toHaveLength(4);
  });

  it.each(['UNAUTHORIZED', 'RESTRICTED', 'EXPIRED', 'NOT_IMPLEMENTED', 'UNSUPPORTED_ENCRYPTION'])(
    'and says %s is not asked any more',
    async (says) => {
      const { autopay, service } = await connected({ says });
      await failOnce(autopay, 1);
      expect(await stateOf(autopay)).toMatchObject({ state: 'stopped', reason: says });
      await waitIsOver();
      await autopay.run();
      expect(service.asked).toHaveLength(1);
    },
  );

  /** Lets a wallet say that its budget is used up, and when it has one again. */
  async function useUp(renewsInMinutes?: number): Promise<Autopay> {
    const { autopay, service } = await connected({ says: 'QUOTA_EXCEEDED' });
    const renews_at = renewsInMinutes === undefined ? undefined : Math.floor(Date.now() / 1000) + renewsInMinutes * 60;
    service.budget = { used_budget: 10_000, total_budget: 10_000, renewal_period: 'daily', ...(renews_at && { renews_at }) };
    await failOnce(autopay, 1);
    expect(await stateOf(autopay)).toMatchObject({ state: 'waiting', reasonText: 'your wallet says its budget is used up' });
    return autopay;
  }

  it.each([
    ['it says', 90, 90],
    ['a month later at most', 60 * 24 * 365_000, 60 * 24 * 32],
  ])('for its budget is asked again when %s', async (_name, renewsInMinutes, expected) => {
    await useUp(renewsInMinutes);
    expect(Math.abs((await minutesToWait()) - expected)).toBeLessThanOrEqual(1);
  });

  it('for its budget is asked again the next day where it does not say when', async () => {
    const autopay = await useUp();
    expect((await stateOf(autopay))?.nextTryAt?.toISOString()).toMatch(/T00:00:00.000Z$/);
  });

  it('because it is asked too often is asked once more for the same invoice', async () => {
    const { autopay, service } = await connected();
    service.doesFirst.push({ says: 'RATE_LIMITED' });
    await autopay.run();
    await until(async () => (await deposits()).length > 0);
    expect(service.asked).toHaveLength(2);
    expect(new Set(service.asked).size).toBe(1);
  });

  it('keeps no refused request waiting', async () => {
    // A minute, were it waited for.
    const { autopay } = await connected({ says: 'INSUFFICIENT_BALANCE' }, {}, { helpMs: 60_000 });
    expect(await autopay.help(owner.accountId, LOW)).toBe(false);
    expect(await autopay.help(owner.accountId, LOW)).toBe(false);
    await expire(autopay);
    expect(await autopay.help(owner.accountId, LOW)).toBe(false);
    // One that lacks more than a top-up is not helped by it.
    await autopay.resume(owner);
    expect(await autopay.help(owner.accountId, { ...LOW, shortfallMsat: msat(5_000_001n) })).toBe(false);
  });
});

describe('what an owner stores', () => {
  it.each([
    ['is no connection', 'https://example.com', /nwcUrl: must be nostr/],
    ['has no secret', 'nostr+walletconnect://KEY?relay=wss%3A%2F%2Frelay.example.com', /is not a wallet connection/],
    ['has no relay', 'nostr+walletconnect://KEY?secret=KEY', /is not a wallet connection/],
    [
      'has five relays',
      `nostr+walletconnect://KEY?secret=KEY${[1, 2, 3, 4, 5].map((n) => `&relay=wss://r${n}.example.com`).join('')}`,
      /more than 4 relays/,
    ],
    ['has a relay without TLS', 'nostr+walletconnect://KEY?secret=KEY&relay=ws://relay.example.com', /not wss/],
    ['has a relay that is no relay', 'nostr+walletconnect://KEY?secret=KEY&relay=http://127.0.0.1', /not wss/],
    ['has a relay with a password', 'nostr+walletconnect://KEY?secret=KEY&relay=wss://me:you@relay.example.com', /with a password/],
    ['has a relay within', 'nostr+walletconnect://KEY?secret=KEY&relay=wss://10.0.0.1', /no public address/],
    ['has a relay that listens to nobody', 'nostr+walletconnect://KEY?secret=KEY&relay=ws://127.0.0.1:1', /no relay of the wallet/],
  ])('is refused where it %s', async (_name, url, message) => {
    const { autopay } = gateway({ payers: { ...PAYERS, deadlineMs: 300 } });
    const nwcUrl = url.replaceAll('KEY', 'c0'.repeat(32));
    const storing = autopay.store(owner, { ...AMOUNTS, nwcUrl });
    await expect(storing).rejects.toMatchObject({ code: 'invalid_request', detail: { param: 'nwcUrl' } });
    await expect(storing).rejects.toThrow(message);
    await expect(storing).rejects.not.toThrow('c0c0');
    expect(await stateOf(autopay)).toBeNull();
  });

  it.each<[string, () => Partial<NwcPayerServiceOptions>, RegExp]>([
    ['cannot pay', () => ({ methods: ['get_info', 'make_invoice'] }), /lacks pay_invoice/],
    ['is ours', () => ({ pubkey: node.nodeId }), /gateway's own wallet/],
    ['is on another network', () => ({ network: 'mainnet' }), /is on mainnet/],
  ])('is refused where the wallet %s', async (_name, options, message) => {
    const service = await wallet(options());
    const { autopay } = gateway();
    await expect(autopay.store(owner, { ...AMOUNTS, nwcUrl: service.url })).rejects.toThrow(message);
    expect(await stateOf(autopay)).toBeNull();
  });

  it('needs an owner, before anybody is connected to', async () => {
    const service = await wallet();
    const { autopay } = gateway();
    await database.pool.query(`update api_keys set role = 'inference' where id = $1`, [owner.id]);
    for (const work of [
      () => autopay.store(owner, { ...AMOUNTS, nwcUrl: service.url }),
      () => autopay.store(owner, AMOUNTS),
      () => autopay.check(owner),
      () => autopay.pause(owner),
      () => autopay.resume(owner),
      () => autopay.remove(owner),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'not_permitted' });
  });

  it('is shown without the connection, whose bytes say nothing', async () => {
    const { autopay, service } = await connected('pays', { thresholdSat: 1 });
    const shown = JSON.stringify(await stateOf(autopay));
    expect(JSON.parse(shown)).toMatchObject({
      wallet: { name: 'Test wallet', relayHosts: [new URL(relay.url).host] },
      thresholdSat: 1,
      state: 'on',
    });
    const { rows } = await database.pool.query<{ kept: string }>(`select encode(connection, 'escape') || p::text as kept from autopay p`);
    for (const told of [shown, rows[0]?.kept]) {
      expect(told).not.toContain(service.secret);
      expect(told).not.toContain(service.walletPubkey);
    }
  });

  it('is checked by asking for the budget, and nothing is paid', async () => {
    const { autopay, service } = await connected();
    service.budget = { used_budget: 1_000, total_budget: 50_000, renewal_period: 'daily' };
    expect(await autopay.check(owner)).toEqual({
      problem: null,
      wallet: { name: 'Test wallet', nodeKey: `02${'ab'.repeat(32)}`, relayHosts: [new URL(relay.url).host] },
      budget: { usedMsat: 1_000, totalMsat: 50_000, renewsAt: null },
    });
    expect(service.asked).toEqual([]);
    service.close();
    const { autopay: impatient } = gateway({ payers: { ...PAYERS, deadlineMs: 500 } });
    expect((await impatient.check(owner)).problem).toMatch(/the wallet does not answer/);
  });

  it('is changed without the connection, paused, and forgotten', async () => {
    const { autopay, service } = await connected();
    await autopay.pause(owner);
    await autopay.run();
    expect(await autopay.help(owner.accountId, LOW)).toBe(false);
    expect(await stateOf(autopay)).toMatchObject({ state: 'paused', reasonText: 'you paused it' });
    await autopay.store(owner, { ...AMOUNTS, topupSat: 6_000 });
    expect(await stateOf(autopay)).toMatchObject({ state: 'on', topupSat: 6_000 });
    await autopay.remove(owner);
    expect(await stateOf(autopay)).toBeNull();
    await autopay.run();
    expect(service.asked).toEqual([]);
    await expect(autopay.store(owner, AMOUNTS)).rejects.toMatchObject({ detail: { param: 'nwcUrl' } });
  });

  it('is encrypted under the newest secret once there is one, and of no use without its own', async () => {
    const newer = { id: '9', secret: Buffer.alloc(32, 9) };
    const { autopay } = await connected('pays', { thresholdSat: 1 });
    const secretIds = async () => (await database.pool.query<{ id: number }>('select get_byte(connection, 0) as id from autopay')).rows;
    expect(await secretIds()).toEqual([{ id: 0 }]);
    await autopay.pause(owner);
    const { autopay: rotated } = gateway({ roots: [newer, TEST_ROOT] });
    await rotated.run();
    expect(await secretIds()).toEqual([{ id: 9 }]);
    const { autopay: later } = gateway({ roots: [newer] });
    expect((await later.check(owner)).problem).toBeNull();
    await autopay.store(owner, { ...AMOUNTS, thresholdSat: 100_000 });
    await autopay.run();
    await answered();
    await expire(autopay);
    expect(await stateOf(autopay)).toMatchObject({
      state: 'stopped',
      reasonText: 'the connection cannot be read any more: store it again',
    });
  });
});
