import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { Pool } from 'undici';
import { auditLedger } from '../../src/ledger/audit.ts';
import { chat } from '../support/chat.ts';
import { parseStream } from '../support/chat-stream.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { finishEvent, startFakeProvider, usageEvent, type FakeExchange, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewaySite } from '../support/gateway-process.ts';
import { accountOf } from '../support/ledger.ts';
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

it(`${STREAMS} streams at once: none is lost, and each is charged what it was told`, async () => {
  const gateway = await site.start();
  const key = await gateway.newKey();
  await fundAccount(database, key, DEPOSIT_SATS);
  const open: FakeExchange[] = [];
  upstream.always(async (exchange) => {
    exchange.startStream();
    await exchange.content('begun');
    open.push(exchange);
  });

  const pool = new Pool(gateway.url, { connections: STREAMS, headersTimeout: LIMIT_MS, bodyTimeout: LIMIT_MS, connectTimeout: LIMIT_MS });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key.secret}` };
  const body = JSON.stringify(chat({ stream: true, max_tokens: 100 }));
  const startedAt = performance.now();
  const answers = Array.from({ length: STREAMS }, async () => {
    const answer = await pool.request({ method: 'POST', path: '/v1/chat/completions', headers, body });
    return { status: answer.statusCode, ...parseStream(await answer.body.text()) };
  });
  await until(() => open.length === STREAMS, LIMIT_MS);
  const openedMs = performance.now() - startedAt;
  const resident = gateway.residentMegabytes();
  for (let piece = 1; piece < PIECES; piece++) {
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_PIECES_MS));
    await Promise.all(open.map((exchange) => exchange.content(` ${piece}`)));
  }
  const finishedAt = performance.now();
  await Promise.all(
    open.map(async (exchange) => {
      await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
      exchange.end();
    }),
  );
  const streams = await Promise.all(answers);
  const settledMs = performance.now() - finishedAt;
  await pool.close();
  process.stderr.write(
    `${STREAMS} streams: open after ${openedMs.toFixed(0)} ms, settled within ${settledMs.toFixed(0)} ms, gateway ${resident.toFixed(0)} MB\n`,
  );

  const lost = streams.filter(({ status, done, chunks }) => status !== 200 || !done || chunks.length !== PIECES + 1);
  expect(lost.slice(0, 3)).toEqual([]);
  const told = streams.reduce((sum, { settled }) => sum + BigInt(settled?.charged_msat ?? NaN), 0n);
  expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: BigInt(DEPOSIT_SATS) * 1_000n - told, held_msat: 0n });
  expect(new Set(streams.map(({ settled }) => settled?.request_id)).size).toBe(STREAMS);
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
});
