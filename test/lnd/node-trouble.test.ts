import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { openCuttable, type Cuttable } from '../regtest/cuttable.ts';
import { startLndGateway, type LndGateway } from '../regtest/lnd-gateway.ts';
import { startRegtest, type Regtest } from '../regtest/regtest.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import type { TestKey } from '../support/gateway.ts';
import { until } from '../support/until.ts';

const FROZEN_MS = 60_000;
/** From LND's return to the credit: our pause before the next attempt is 10 s at most. */
const BACK_MS = 20_000;

let regtest: Regtest;
let way: Cuttable;
let database: TestDatabase;
let gateway: LndGateway;
let key: TestKey;

beforeAll(async () => {
  [regtest, database] = await Promise.all([startRegtest(), createTestDatabase({ max: 20 })]);
  way = await openCuttable(regtest.gateway.socket);
  gateway = await startLndGateway(regtest.gateway, { database, socket: way.socket });
  key = await funded();
});
afterAll(async () => {
  await gateway?.close();
  await way?.close();
  await database?.drop();
  await regtest?.close();
});
afterEach(async () => {
  expect(await gateway.audit()).toEqual([]);
});

/** A new account without free requests, with a deposit of 1,000 sats. */
async function funded(): Promise<TestKey> {
  const owner = await gateway.newKey();
  await gateway.pool.query(`update accounts set free_limit = 0 where id = $1`, [owner.accountId]);
  const { paymentRequest } = await gateway.topUp(owner, 1_000);
  await regtest.pay(paymentRequest);
  await gateway.credited(owner, [1_000_000n]);
  return owner;
}

const lightning = async (): Promise<string> => {
  const answer = await gateway.get('/ready');
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { parts: { lightning: string } }).parts.lightning;
};
const chat = (owner: TestKey) =>
  gateway.post('/v1/chat/completions', { model: 'demo-cheap', max_tokens: 16, messages: [{ role: 'user', content: 'Hi' }] }, owner);

/** Kills LND as the kernel does, starts it again, and waits until it can be paid. */
async function restartNode(): Promise<void> {
  await regtest.gateway.kill();
  await regtest.gateway.start(regtest.btcd);
  await regtest.reconnected();
}

describe('what was paid is credited once', () => {
  it('when it settles in a gap of the subscription that an added invoice came before', async () => {
    const payer = await gateway.newKey();
    const { paymentRequest } = await gateway.topUp(payer, 600);
    await gateway.topUp(payer, 601);
    way.cut();
    await regtest.pay(paymentRequest);
    way.restore();
    await gateway.credited(payer, [600_000n], BACK_MS);
  });

  it('when LND is killed between the settlement and its notification', async () => {
    const payer = await gateway.newKey();
    const { paymentRequest } = await gateway.topUp(payer, 700);
    way.mute();
    await regtest.pay(paymentRequest);
    expect(await gateway.deposits(payer)).toEqual([]);
    await regtest.gateway.kill();
    way.cut();
    await regtest.gateway.start(regtest.btcd);
    way.restore();
    await gateway.credited(payer, [700_000n], BACK_MS);
    await regtest.reconnected();
  });

  it('when LND is killed and restarted under load', async () => {
    const payers = await Promise.all(Array.from({ length: 10 }, () => gateway.newKey()));
    const invoices = await Promise.all(payers.flatMap((payer) => [201, 202, 203].map((sats) => gateway.topUp(payer, sats))));
    const paid = invoices.map(({ paymentRequest }) => regtest.payInTheEnd(paymentRequest));
    await Promise.race(paid);
    await restartNode();
    await Promise.all(paid);
    for (const payer of payers) {
      await until(async () => (await gateway.deposits(payer)).length === 3, BACK_MS);
      expect(new Set(await gateway.deposits(payer))).toEqual(new Set([201_000n, 202_000n, 203_000n]));
    }
  });

  it('when another node took the place of the one that was paid, once that is back, and the other has no word on it', async () => {
    const other = await regtest.startNode('other');
    const payer = await gateway.newKey();
    const { invoiceId, paymentRequest } = await gateway.topUp(payer, 800);

    // Under the gateway's feet: the other one cannot show the certificate.
    way.cut();
    way.restore(other.socket);
    await until(async () => (await lightning()) !== 'ok', BACK_MS);
    expect((await gateway.post('/api/wallet/fund', { amount: 100 }, payer)).status).toBe(503);
    await regtest.pay(paymentRequest);

    // As its new backend.
    await gateway.close();
    gateway = await startLndGateway(other, { database });
    await gateway.pool.query(`update invoices set next_check_at = now() where id = $1`, [invoiceId]);
    await gateway.topUp(payer, 801);
    expect(await gateway.invoiceStatus(payer, invoiceId)).toBe('pending');
    expect(await gateway.deposits(payer)).toEqual([]);
    expect(await gateway.audit()).toEqual([]);

    const { nodeId } = gateway.server.wallet;
    await gateway.close();
    await other.stop();
    // What is open with the other one, which never comes back, would be told of for ever.
    await database.pool.query(
      `update invoices set state = 'canceled', created_at = now() - interval '3 hours', expires_at = now() - interval '2 hours', next_check_at = null
       where node_id = $1`,
      [nodeId],
    );
    way.cut();
    way.restore(regtest.gateway.socket);
    gateway = await startLndGateway(regtest.gateway, { database, socket: way.socket });
    await gateway.credited(payer, [800_000n], BACK_MS);
  });
});

describe('funded keys', () => {
  it('are served by a gateway that starts while its LND is away', async () => {
    await gateway.close();
    await regtest.gateway.stop();
    gateway = await startLndGateway(regtest.gateway, { database, socket: way.socket });
    expect((await chat(key)).status).toBe(200);
    await until(async () => (await lightning()) === 'LND cannot be reached');
    await regtest.gateway.start(regtest.btcd);
    await regtest.reconnected();
    await until(async () => (await lightning()) === 'ok', BACK_MS);
    await funded();
  });

  it(
    'go on while LND is frozen for a minute; what was paid to it meanwhile is credited once',
    async () => {
      const payer = await gateway.newKey();
      const { paymentRequest } = await gateway.topUp(payer, 900);
      regtest.gateway.freeze();
      const thawAt = performance.now() + FROZEN_MS;
      const payment = regtest.payInTheEnd(paymentRequest);
      payment.catch(() => {});
      const refused = performance.now();
      expect((await gateway.post('/api/wallet/fund', { amount: 100 }, payer)).status).toBe(503);
      expect(performance.now() - refused).toBeLessThan(6_000);

      const latencies: number[] = [];
      while (performance.now() < thawAt) {
        const asked = performance.now();
        const answer = await chat(key);
        expect(answer.status).toBe(200);
        expect(answer.headers.get('x-pura-funding')).toBe('wallet');
        latencies.push(performance.now() - asked);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      expect(Math.max(...latencies)).toBeLessThan(2_000);
      expect(await lightning()).toMatch(/^LND (does not answer|cannot be reached)$/);

      regtest.gateway.thaw();
      await regtest.reconnected();
      await payment;
      await gateway.credited(payer, [900_000n], BACK_MS);
      await until(async () => (await lightning()) === 'ok');
    },
    4 * FROZEN_MS,
  );
});
