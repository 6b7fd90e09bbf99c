import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { cancelHodlInvoice } from 'lightning';
import { startLndGateway, type LndGateway } from '../regtest/lnd-gateway.ts';
import { startRegtest, type Regtest } from '../regtest/regtest.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { TEST_ROOT } from '../support/funded.ts';
import type { TestKey } from '../support/gateway.ts';
import { until } from '../support/until.ts';

let regtest: Regtest;
let database: TestDatabase;
let gateway: LndGateway;
let key: TestKey;

beforeAll(async () => {
  [regtest, database] = await Promise.all([startRegtest(), createTestDatabase({ max: 20 })]);
  gateway = await startLndGateway(regtest.gateway, { database });
  key = await gateway.newKey();
  const { paymentRequest } = await gateway.topUp(key, 100);
  await regtest.pay(paymentRequest);
  await gateway.credited(key, [100_000n]);
});
afterAll(async () => {
  await gateway?.close();
  await database?.drop();
  await regtest?.close();
});
afterEach(async () => {
  expect(await gateway.audit()).toEqual([]);
});

/** `npm run audit` with the gateway's environment. */
async function auditCommand(socket: string): Promise<{ stdout: string }> {
  const env = {
    DATABASE_URL: database.connectionString,
    SECRET_KEY: `${TEST_ROOT.id}:${TEST_ROOT.secret.toString('hex')}`,
    LND_SOCKET: socket,
    LND_MACAROON: (await regtest.gateway.leastMacaroon()).toString('hex'),
    LND_CERT: regtest.gateway.cert.toString('base64'),
  };
  const script = fileURLToPath(new URL('../../src/audit.ts', import.meta.url));
  return promisify(execFile)(process.execPath, [script], { env });
}

describe('a payment to a real LND', () => {
  it('is credited within a second of its settlement, though nobody asks', async () => {
    const payer = await gateway.newKey();
    const { paymentRequest } = await gateway.topUp(payer, 1_234);
    await regtest.pay(paymentRequest);
    await gateway.credited(payer, [1_234_000n], 1_000);
  });

  it('pays for a streamed completion', async () => {
    const request = { messages: [{ role: 'user', content: 'Hello' }], model: 'demo-cheap', stream: true };
    await gateway.pool.query(`update accounts set free_limit = 0 where id = $1`, [key.accountId]);
    const answer = await gateway.post('/v1/chat/completions', request, key);
    expect(answer.headers.get('x-pura-funding')).toBe('wallet');
    expect(await answer.text()).toMatch(/\n: pura \{.*"funding":"wallet".*\}\ndata: \[DONE\]/);
  });

  it('that is more than asked for is credited as received', async () => {
    const payer = await gateway.newKey();
    const { paymentRequest } = await gateway.topUp(payer, 1_000);
    await regtest.overpay(paymentRequest, 1_500_123n);
    await gateway.credited(payer, [1_500_123n], 1_000);
  });

  it('is refused by the node after the expiry, and nothing is credited', async () => {
    const expiring = await startLndGateway(regtest.gateway, { database, config: { INVOICE_EXPIRY_SECONDS: 1 } });
    try {
      const payer = await expiring.newKey();
      const { invoiceId, paymentRequest } = await expiring.topUp(payer, 500);
      await until(async () => (await expiring.invoiceStatus(payer, invoiceId)) === 'expired');
      await expect(regtest.pay(paymentRequest)).rejects.toBeDefined();
      // The node is asked for it.
      expect(await expiring.invoiceStatus(payer, invoiceId)).toBe('expired');
      expect(await expiring.deposits(payer)).toEqual([]);
    } finally {
      await expiring.close();
    }
  });

  it('is refused by the node once the invoice is canceled, and nothing is credited', async () => {
    const payer = await gateway.newKey();
    const { invoiceId, paymentRequest, paymentHash } = await gateway.topUp(payer, 500);
    await cancelHodlInvoice({ lnd: regtest.gateway.lnd, id: paymentHash });
    await expect(regtest.pay(paymentRequest)).rejects.toBeDefined();
    await gateway.pool.query(`update invoices set next_check_at = now() where id = $1`, [invoiceId]);
    await until(async () => (await gateway.invoiceStatus(payer, invoiceId)) === 'canceled');
    expect(await gateway.deposits(payer)).toEqual([]);
  });

  it('made while the gateway is down is credited when it is back', async () => {
    const { paymentRequest } = await gateway.topUp(key, 777);
    await gateway.close();
    await regtest.pay(paymentRequest);
    gateway = await startLndGateway(regtest.gateway, { database });
    await gateway.credited(key, [100_000n, 777_000n]);
  });

  it("is in the node's books as in ours, which the audit command asks", async () => {
    const { stdout } = await auditCommand(regtest.gateway.socket);
    expect(stdout).toBe('The ledger is sound: every invariant holds.\n');
    const away = await auditCommand('127.0.0.1:1');
    expect(away.stdout).toBe('The ledger is sound: every invariant holds. The Lightning node could not be asked what it received.\n');
  });

  it('is one deposit each for 200 invoices paid as fast as the payer can', async () => {
    const keys = await Promise.all(Array.from({ length: 40 }, () => gateway.newKey()));
    const invoices = await Promise.all(keys.flatMap((payer) => [101, 102, 103, 104, 105].map((sats) => gateway.topUp(payer, sats))));
    const started = performance.now();
    await Promise.all(invoices.map(({ paymentRequest }) => regtest.pay(paymentRequest)));
    const paid = performance.now();
    await Promise.all(keys.map((payer) => until(async () => (await gateway.deposits(payer)).length === 5, 30_000)));
    console.log(`200 payments in ${Math.round(paid - started)} ms, all credited ${Math.round(performance.now() - paid)} ms later`);
    for (const payer of keys) {
      expect(new Set(await gateway.deposits(payer))).toEqual(new Set([101_000n, 102_000n, 103_000n, 104_000n, 105_000n]));
    }
  });
});
