import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { Pool } from 'undici';
import { auditLedger } from '../../src/ledger/audit.ts';
import { chat } from '../support/chat.ts';
import { parseStream, type ChatStream } from '../support/chat-stream.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { finishEvent, startFakeProvider, usageEvent, type FakeExchange, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

/** Each stream is two connections in this process and two in the gateway; both have other files open too. */
const OPEN_FILES = Number(execFileSync('/bin/sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).replace('unlimited', '1000000'));
const STREAMS = Math.min(10_000, Math.floor((OPEN_FILES - 1_000) / 2));
const PIECES = 10;
/** As a model writes: each stream stays open for several checkpoints and renewals of its lease. */
const BETWEEN_PIECES_MS = 1_500;
const DEPOSIT_SATS = 1_000_000;
const LIMIT_MS = 120_000;

let upstream: FakeProvider;
let database: TestDatabase;
let site: GatewaySite;

beforeEach(async () => {
  [upstream, database] = await Promise.all([startFakeProvider(), createTestDatabase()]);
  const env = {
    DATABASE_URL: database.connectionString,
    OPEN_STREAMS_PER_ACCOUNT: String(STREAMS),
    DAILY_BUDGET_USD: '1000000',
  };
  site = createSite({ deployments: [upstream.deployment()], env });
});

afterEach(async () => {
  await site.close();
  await upstream.close();
  await database.drop();
});

interface Opened {
  key: TestKey;
  /** The provider's ends. */
  exchanges: FakeExchange[];
  /** What the clients read, to its end. */
  answers: Promise<ChatStream & { status: number }>[];
  leave(): Promise<void>;
}

/** All at once, on one account; each has its first piece. */
async function openStreams(gateway: GatewayProcess): Promise<Opened> {
  const key = await gateway.newKey();
  await fundAccount(database, key, DEPOSIT_SATS);
  const exchanges: FakeExchange[] = [];
  upstream.always(async (exchange) => {
    exchange.startStream();
    await exchange.content('begun');
    exchanges.push(exchange);
  });
  const pool = new Pool(gateway.url, { connections: STREAMS, headersTimeout: LIMIT_MS, bodyTimeout: LIMIT_MS, connectTimeout: LIMIT_MS });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key.secret}` };
  const body = JSON.stringify(chat({ stream: true, max_tokens: 100 }));
  const answers = Array.from({ length: STREAMS }, async () => {
    const answer = await pool.request({ method: 'POST', path: '/v1/chat/completions', headers, body });
    return { status: answer.statusCode, ...parseStream(await answer.body.text()) };
  });
  await until(() => exchanges.length === STREAMS, LIMIT_MS);
  return { key, exchanges, answers, leave: () => pool.destroy() };
}

const audit = () => auditLedger(database.pool, { oldestHoldSeconds: 60 });

it(`${STREAMS} streams at once: none is lost, and each is charged what it was told`, async () => {
  const gateway = await site.start();
  const startedAt = performance.now();
  const { key, exchanges, answers, leave } = await openStreams(gateway);
  const openedMs = performance.now() - startedAt;
  const resident = gateway.residentMegabytes();
  for (let piece = 1; piece < PIECES; piece++) {
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_PIECES_MS));
    await Promise.all(exchanges.map((exchange) => exchange.content(` ${piece}`)));
  }
  const finishedAt = performance.now();
  await Promise.all(
    exchanges.map(async (exchange) => {
      await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
      exchange.end();
    }),
  );
  const streams = await Promise.all(answers);
  const settledMs = performance.now() - finishedAt;
  await leave();
  process.stderr.write(
    `${STREAMS} streams: open after ${openedMs.toFixed(0)} ms, settled within ${settledMs.toFixed(0)} ms, gateway ${resident.toFixed(0)} MB\n`,
  );

  const lost = streams.filter(({ status, done, chunks }) => status !== 200 || !done || chunks.length !== PIECES + 1);
  expect(lost.slice(0, 3)).toEqual([]);
  const told = streams.reduce((sum, { settled }) => sum + BigInt(settled?.charged_msat ?? NaN), 0n);
  expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: BigInt(DEPOSIT_SATS) * 1_000n - told, held_msat: 0n });
  expect(new Set(streams.map(({ settled }) => settled?.request_id)).size).toBe(STREAMS);
  expect(await audit()).toEqual([]);
});

it(`${STREAMS} streams of a gateway that is killed are all settled by another one`, async () => {
  const leases = { HOLD_LEASE_SECONDS: '20' };
  const [gateway, other] = [await site.start(leases), await site.start(leases)];
  const { key, answers, leave } = await openStreams(gateway);
  const cut = Promise.allSettled(answers);
  await until(
    async () => (await holdsOf(database.pool, key.accountId)).every(({ checkpoint_msat: checkpoint }) => checkpoint !== null),
    LIMIT_MS,
  );
  await gateway.end('SIGKILL');
  await cut;
  await leave();

  const holds = await until(async () => {
    const all = await holdsOf(database.pool, key.accountId);
    return all.every(({ state }) => state === 'posted') && all;
  }, LIMIT_MS);
  expect(holds).toHaveLength(STREAMS);
  const charged = holds.reduce((sum, { posted_msat: posted }) => sum + posted, 0n);
  expect(await accountOf(database.pool, key.accountId)).toMatchObject({
    posted_msat: BigInt(DEPOSIT_SATS) * 1_000n - charged,
    held_msat: 0n,
  });
  expect(await audit()).toEqual([]);
  upstream.always((exchange) => exchange.answer());
  expect((await other.post('/v1/chat/completions', chat(), await other.newKey())).status).toBe(200);
});
