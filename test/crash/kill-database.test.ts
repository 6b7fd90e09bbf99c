import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { auditLedger } from '../../src/ledger/audit.ts';
import { whileLocked } from '../support/account-lock.ts';
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
let other: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  upstream.always((exchange) => exchange.json(completion()));
  site = createSite({ deployments: [upstream.deployment()] });
  gateway = await site.start();
  database = await site.database();
  [key, other] = [await gateway.newKey(), await gateway.newKey()];
  for (const account of [key, other]) await fundAccount(database, account, DEPOSIT_SATS);
});

afterAll(async () => {
  await site.close();
  await upstream.close();
});

interface Answered {
  status: number;
  code: string | undefined;
  chargedMsat: bigint;
  /** The gateway's, which the ledger knows, by the client's, which the provider is told. */
  requestId: string | null;
  clientRequestId: string;
}

async function ask(from: TestKey): Promise<Answered> {
  const clientRequestId = randomUUID();
  const answer = await gateway.post('/v1/chat/completions', chat({ max_tokens: 300 }), from, { 'x-client-request-id': clientRequestId });
  const { error } = (await answer.json()) as { error?: { code: string } };
  return {
    status: answer.status,
    code: error?.code,
    chargedMsat: BigInt(answer.headers.get('x-pura-charged-msat') ?? 0),
    requestId: answer.headers.get('x-pura-request-id'),
    clientRequestId,
  };
}

/** Of those answers, the ones whose request reached the provider without a hold in the ledger. */
async function unmetered(answers: Answered[]): Promise<Answered[]> {
  const dispatched = new Set(upstream.requests.map(({ headers }) => headers['x-client-request-id']));
  const { rows } = await database.pool.query<{ request_id: string }>('select request_id from holds');
  const held = new Set(rows.map(({ request_id: id }) => id));
  return answers.filter(({ clientRequestId, requestId }) => dispatched.has(clientRequestId) && !held.has(requestId ?? ''));
}

describe('the embedded PostgreSQL killed under load', () => {
  it('is brought back; meanwhile nothing is served unmetered, and running streams are settled on its return', async () => {
    const streams: BegunStream[] = [];
    for (let index = 0; index < STREAMS; index++) streams.push(await beginStream(gateway, upstream, key, 'begun '));
    const answers: Answered[] = [];
    const load = new AbortController();
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (!load.signal.aborted) answers.push(await ask(key));
    });
    await until(() => answers.length > 2 * CLIENTS);

    const killed = site.postmasterPid();
    let beforeKill = 0;
    let undecided: Promise<Answered> | undefined;
    // One admission is certainly with the database when that dies, and nobody will ever know what became of it.
    await whileLocked(database.pool, other, async (waiting) => {
      undecided = ask(other);
      const backends = await until(async () => {
        const pids = await waiting();
        return pids.length === 1 && pids;
      });
      beforeKill = answers.length;
      // Its backend goes first: seeing its server dead and the lock free, it might commit in its last moment.
      for (const pid of [...backends, killed]) process.kill(pid, 'SIGKILL');
    });
    // Each stream ends while the database is away: its last events come, and its bill has to wait.
    const finished = streams.map(async ({ exchange, stream }) => {
      await exchange.send(finishEvent() + usageEvent() + 'data: [DONE]\n\n');
      exchange.end();
      return stream.rest();
    });
    await until(() => answers.slice(beforeKill).some(({ status }) => status === 503));
    // A backend that outlives its server for a moment may still answer: only the new server shows that it is back.
    await until(() => isBack(site, killed));
    const back = answers.length;
    await until(() => answers.length > back && answers.at(-1)?.status === 200);
    load.abort();
    await Promise.all(clients);
    if (undecided) answers.push(await undecided);
    expect(answers.at(-1)).toMatchObject({ status: 503, code: 'database_unavailable' });
    const ended = await Promise.all(finished);

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
    expect(await unmetered(answers)).toEqual([]);
    expect(await auditLedger(pool, { oldestHoldSeconds: 60 })).toEqual([]);
  });
});

/** Whether another server runs on the data than the one that was killed. */
function isBack(gateways: GatewaySite, killed: number): boolean {
  try {
    return gateways.postmasterPid() !== killed;
  } catch {
    return false;
  }
}
