import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { auditLedger } from '../../src/ledger/audit.ts';
import { beginStream, type BegunStream } from '../support/chat-stream.ts';
import { chat } from '../support/chat.ts';
import { completion, finishEvent, startFakeProvider, usageEvent, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewayProcess, type GatewaySite, type SharedDatabase } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const DEPOSIT_SATS = 10_000;
const CLIENTS = 8;
const STREAMS = 4;

let upstream: FakeProvider;
let site: GatewaySite;
let gateway: GatewayProcess;
let database: SharedDatabase;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  upstream.always((exchange) => exchange.json(completion()));
  site = createSite({ deployments: [upstream.deployment()] });
  gateway = await site.start();
  database = await site.database();
  key = await gateway.newKey();
  await fundAccount(database, key, DEPOSIT_SATS);
});

afterAll(async () => {
  await site.close();
  await upstream.close();
});

interface Answered {
  status: number;
  code: string | undefined;
  chargedMsat: bigint;
}

async function ask(): Promise<Answered> {
  const answer = await gateway.post('/v1/chat/completions', chat({ max_tokens: 300 }), key);
  const { error } = (await answer.json()) as { error?: { code: string } };
  return { status: answer.status, code: error?.code, chargedMsat: BigInt(answer.headers.get('x-pura-charged-msat') ?? 0) };
}

describe('the embedded PostgreSQL killed under load', () => {
  it('is brought back; meanwhile nothing is served unmetered, and running streams are settled on its return', async () => {
    const streams: BegunStream[] = [];
    for (let index = 0; index < STREAMS; index++) streams.push(await beginStream(gateway, upstream, key, 'begun '));
    const answers: Answered[] = [];
    const load = new AbortController();
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (!load.signal.aborted) answers.push(await ask());
    });
    await until(() => answers.length > 2 * CLIENTS);

    const killed = site.postmasterPid();
    const beforeKill = answers.length;
    process.kill(killed, 'SIGKILL');
    // Each stream ends while the database is away: its last events come, and its bill has to wait.
    const finished = streams.map(async ({ exchange, stream }) => {
      await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
      exchange.end();
      return stream.rest();
    });
    await until(() => answers.slice(beforeKill).some(({ status }) => status === 503));
    await until(() => answers.length > beforeKill && answers.at(-1)?.status === 200, 20_000);
    load.abort();
    await Promise.all(clients);
    const ended = await Promise.all(finished);

    expect(site.postmasterPid()).not.toBe(killed);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 503]));
    expect(new Set(answers.filter(({ status }) => status === 503).map(({ code }) => code))).toEqual(new Set(['database_unavailable']));
    expect(ended.every(({ done, settled }) => done && settled !== null)).toBe(true);

    // What the clients were told they paid is what the ledger took, and nothing went upstream without its hold.
    const { pool } = database;
    await until(async () => (await accountOf(pool, key.accountId)).held_msat === 0n);
    const paid = answers.reduce((sum, { chargedMsat }) => sum + chargedMsat, 0n);
    const streamed = ended.reduce((sum, { settled }) => sum + BigInt(settled?.charged_msat ?? 0), 0n);
    const { posted_msat: balance } = await until(async () => {
      const account = await accountOf(pool, key.accountId);
      return account.posted_msat === BigInt(DEPOSIT_SATS) * 1_000n - paid - streamed && account;
    });
    expect(balance).toBeGreaterThan(0n);
    const { rows } = await pool.query<{ holds: bigint }>('select count(*) as holds from holds where account_id = $1', [key.accountId]);
    expect(upstream.requests.length).toBeLessThanOrEqual(Number(rows[0]?.holds));
    expect(await auditLedger(pool, { oldestHoldSeconds: 60 })).toEqual([]);
  });
});
