import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { request, type IncomingMessage } from 'node:http';
import { auditLedger } from '../../src/ledger/audit.ts';
import { chat } from '../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { holdsOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const READERS = 1_000;
const PIECE = 'x'.repeat(16_000);
/** What the gateway may keep of an answer that nobody reads, beside what the kernel keeps. */
const MEGABYTES_EACH = 2;
const DEPOSIT_SATS = 1_000_000;
const LIMIT_MS = 120_000;

let upstream: FakeProvider;
let database: TestDatabase;
let site: GatewaySite;

beforeEach(async () => {
  [upstream, database] = await Promise.all([startFakeProvider(), createTestDatabase()]);
  const env = { DATABASE_URL: database.connectionString, OPEN_STREAMS_PER_ACCOUNT: String(READERS), DAILY_BUDGET_USD: '1000000' };
  site = createSite({ deployments: [upstream.deployment()], env });
});

afterEach(async () => {
  await site.close();
  await upstream.close();
  await database.drop();
});

/** A client that asks for a stream and reads its head, and nothing more. */
async function readNothing(gateway: GatewayProcess, key: TestKey): Promise<IncomingMessage> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key.secret}` };
  return new Promise((resolve, reject) => {
    const asking = request(`${gateway.url}/v1/chat/completions`, { method: 'POST', agent: false, headers }, resolve);
    asking.on('error', reject);
    asking.end(JSON.stringify(chat({ stream: true, max_tokens: 10_000 })));
  });
}

it(`${READERS} clients that read nothing of endless answers take bounded memory, and pay for what was delivered`, async () => {
  const gateway = await site.start();
  const key = await gateway.newKey();
  await fundAccount(database, key, DEPOSIT_SATS);
  let sent = 0;
  let gone = 0;
  upstream.always(async (exchange) => {
    const client = { gone: false };
    void exchange.clientGone.then(() => {
      client.gone = true;
      gone++;
    });
    exchange.startStream();
    for (; !client.gone; sent++) await exchange.content(PIECE);
  });
  const idleMegabytes = gateway.residentMegabytes();
  const answers = await Promise.all(Array.from({ length: READERS }, () => readNothing(gateway, key)));
  expect(answers.filter(({ statusCode }) => statusCode !== 200)).toEqual([]);

  // Every provider's stream is held up once nothing more is sent.
  let before = -1;
  await until(async () => {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    return sent === before;
  }, LIMIT_MS);
  const megabytes = gateway.residentMegabytes() - idleMegabytes;
  process.stderr.write(`${READERS} answers that nobody reads: ${megabytes.toFixed(0)} MB\n`);
  expect(megabytes).toBeLessThan(READERS * MEGABYTES_EACH);
  expect((await gateway.get('/health')).status).toBe(200);

  for (const answer of answers) answer.destroy();
  await until(() => gone === READERS, LIMIT_MS);
  const holds = await until(async () => {
    const all = await holdsOf(database.pool, key.accountId);
    return all.every(({ state }) => state !== 'pending') && all;
  }, LIMIT_MS);
  expect(holds.filter(({ state, posted_msat: posted }) => state === 'posted' && posted > 0n)).toHaveLength(READERS);
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
  expect(await gateway.end('SIGTERM')).toMatchObject({ code: 0 });
});
