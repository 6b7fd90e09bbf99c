import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createInvoice, getInvoice } from 'lightning';
import { auditNode } from '../../src/node-audit/audit-node.ts';
import type { InvoiceView } from '../../src/invoices/invoice.ts';
import { envOf, runCommand } from '../regtest/lnd-command.ts';
import { startLndGateway, type LndGateway } from '../regtest/lnd-gateway.ts';
import { startRegtest, type Regtest } from '../regtest/regtest.ts';
import { copyOf, createTestDatabase, type TestDatabase } from '../support/database.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const CHAT = { model: 'demo-cheap', messages: [{ role: 'user', content: 'Hello' }] };

let regtest: Regtest;
let database: TestDatabase;
let restored: TestDatabase | undefined;
let gateway: LndGateway | undefined;

beforeAll(async () => {
  [regtest, database] = await Promise.all([startRegtest(), createTestDatabase({ max: 20 })]);
});
afterAll(async () => {
  await gateway?.close();
  await restored?.drop();
  await database?.drop();
  await regtest?.close();
});

async function start(on: TestDatabase, node = regtest.gateway, env: Record<string, string> = {}): Promise<LndGateway> {
  gateway = await startLndGateway(node, { database: on, env: { ...(await envOf(node)), ...env } });
  return gateway;
}

async function stop(): Promise<void> {
  await gateway?.close();
  gateway = undefined;
}

/** A command on a database, and on the gateway's node where no other is given. */
const command = (name: 'audit' | 'reconcile', args: string[], on: TestDatabase, node = regtest.gateway) => runCommand(name, args, on, node);

const withdraw = (from: LndGateway, key: TestKey, paymentRequest: string) =>
  from.post('/api/wallet/withdraw', { paymentRequest }, key, { 'idempotency-key': randomUUID() });

const posted = async (on: TestDatabase, { accountId }: TestKey) => (await accountOf(on.pool, accountId)).posted_msat;

describe('a database restored from a backup', () => {
  it('gets back by command what its node knows, and pays nothing out twice meanwhile', async () => {
    const first = await start(database);
    const key = await first.newKey();
    await regtest.pay((await first.topUp(key, 100_000)).paymentRequest);
    await first.credited(key, [100_000_000n]);
    const open = await first.topUp(key, 7_000);
    await stop();
    restored = await copyOf(database, { max: 20 });

    // Business goes on: two deposits, one by somebody without a key, and a withdrawal.
    const going = await start(database);
    await regtest.pay(open.paymentRequest);
    await regtest.pay((await going.topUp(key, 50_000)).paymentRequest);
    await going.credited(key, [100_000_000n, 7_000_000n, 50_000_000n]);
    const challenge = await going.post('/l402/v1/chat/completions', CHAT, null);
    const [, token = ''] = /token="([^"]+)"/.exec(challenge.headers.get('www-authenticate') ?? '') ?? [];
    const { error } = (await challenge.json()) as { error: { funding: InvoiceView } };
    const authorization = `L402 ${token}:${await regtest.pay(error.funding.paymentRequest)}`;
    expect((await going.post('/l402/v1/chat/completions', CHAT, null, { authorization })).status).toBe(200);
    const out = await createInvoice({ lnd: regtest.payer.lnd, tokens: 60_000 });
    expect(await (await withdraw(going, key, out.request)).json()).toMatchObject({ status: 'paid' });
    expect(await auditNode(database.pool, going.server.wallet)).toEqual([]);
    await stop();

    const after = await start(restored);
    await after.credited(key, [100_000_000n, 7_000_000n]);
    const { pool } = restored;
    await until(async () => (await pool.query(`select from orphans where resolved_at is null`)).rowCount === 3);
    const again = await createInvoice({ lnd: regtest.payer.lnd, tokens: 60_000 });
    const refused = await withdraw(after, key, again.request);
    expect({ status: refused.status, retryAfter: refused.headers.get('retry-after') }).toEqual({ status: 503, retryAfter: '300' });
    expect((await after.post('/l402/v1/chat/completions', CHAT, null, { authorization })).status).toBe(401);
    expect((await auditNode(pool, after.server.wallet)).map(({ expected }) => expected).sort()).toEqual([
      '1000000',
      '50000000',
      '60000000',
    ]);
    expect(await command('audit', [], restored)).toMatchObject({ code: 1, out: expect.stringContaining('3 violations') });

    expect(await command('reconcile', [], restored)).toMatchObject({ code: 1, out: expect.stringContaining('3 left') });
    const credited = await command('reconcile', ['--credit'], restored);
    expect(credited).toMatchObject({ code: 1, out: expect.stringContaining('1 left') });
    await after.credited(key, [100_000_000n, 7_000_000n, 50_000_000n]);
    expect((await after.post('/l402/v1/chat/completions', CHAT, null, { authorization })).status).toBe(200);
    expect((await withdraw(after, key, again.request)).status).toBe(503);

    const booked = await command('reconcile', ['--book', '--payment', out.id, '--account', key.accountId], restored);
    expect(booked).toMatchObject({ code: 0, out: expect.stringContaining('booked') });
    expect(await posted(restored, key)).toBe(97_000_000n);
    expect(await (await withdraw(after, key, again.request)).json()).toMatchObject({ status: 'paid' });
    expect(await getInvoice({ lnd: regtest.payer.lnd, id: again.id })).toMatchObject({ is_confirmed: true });
    expect(await after.audit()).toEqual([]);
    expect(await command('audit', [], restored)).toMatchObject({ code: 0, out: expect.stringContaining('The ledger is sound') });
    await stop();
  }, 120_000);
});

describe('a gateway that was moved to another node', () => {
  it('credits what is paid to the one before, and says of none of its invoices that it is unpaid', async () => {
    const before = await start(database);
    const key = await before.newKey();
    const { paymentRequest, invoiceId } = await before.topUp(key, 40_000);
    const challenge = await before.post('/l402/v1/chat/completions', CHAT, null);
    const [, token = ''] = /token="([^"]+)"/.exec(challenge.headers.get('www-authenticate') ?? '') ?? [];
    const { error } = (await challenge.json()) as { error: { funding: InvoiceView } };
    await stop();
    const other = await regtest.startNode('other');

    const unaware = await start(database, other);
    await regtest.pay(paymentRequest);
    const authorization = `L402 ${token}:${await regtest.pay(error.funding.paymentRequest)}`;
    const untold = await unaware.post('/l402/v1/chat/completions', CHAT, null, { authorization });
    expect({ status: untold.status, body: await untold.json() }).toMatchObject({
      status: 503,
      body: { error: { code: 'lightning_unavailable' } },
    });
    const ready = (await (await unaware.get('/ready')).json()) as { parts: { lightning: string } };
    expect(ready.parts.lightning).toMatch(/of another node are open/);
    const audited = await command('audit', [], database, other);
    expect(audited.out).toContain(`2 invoices and 0 withdrawals that are open with another node, ${regtest.gateway.publicKey}`);
    expect(audited.out).toMatch(/is sound: .* Not audited: 2 invoices and 0 withdrawals that are open with another node\.$/m);
    await stop();

    const { LND_SOCKET = '', LND_MACAROON = '', LND_CERT = '' } = await envOf(regtest.gateway);
    const aware = await start(database, other, { LND_OLD_SOCKET: LND_SOCKET, LND_OLD_MACAROON: LND_MACAROON, LND_OLD_CERT: LND_CERT });
    await aware.credited(key, [40_000_000n]);
    expect(await aware.invoiceStatus(key, invoiceId)).toBe('paid');
    expect((await aware.post('/l402/v1/chat/completions', CHAT, null, { authorization })).status).toBe(200);
    expect(await aware.audit()).toEqual([]);
    await stop();
  }, 120_000);
});
