import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createLog } from '../../src/log.ts';
import { readStream } from '../support/chat-stream.ts';
import { chat, errorOf } from '../support/chat.ts';
import { startFakeProvider, type FakeProvider, type FakeScript } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';
import { fakeWallClock, type WallClock } from '../support/wall-clock.ts';

const PATH = '/v1/chat/completions';
/** Each test has a pair of deployments of its own: one of them, and its backup. Nothing is known of it before. */
const PAIRS = Array.from({ length: 24 }, (_, index) => index);
const FAULTS_IN_A_ROW = 5;
const FIRST_WAIT_MS = 1_000;
const DEPOSIT_SATS = 10_000;
/** 10 × $1 and 5 × $2 a million tokens, in msat of 100,000 USD a bitcoin. */
const CHARGED_MSAT = 20;

let left: FakeProvider;
let right: FakeProvider;
let gateway: TestGateway;
/** Two accounts: what one alone meets is not what all meet. */
let keys: readonly [TestKey, TestKey];
let clock: WallClock;
let pair = -1;
let lines: { level: number; deployment?: string; reason?: string; msg: string }[] = [];

beforeAll(async () => {
  [left, right] = [await startFakeProvider(), await startFakeProvider()];
  gateway = await startGateway({
    env: {
      ...{ FREE_TIER_REQUESTS: '0', ALLOW_SIMULATED: 'true', UPSTREAM_TIMEOUT_SECONDS: '6', DAILY_BUDGET_USD: '100000' },
      ...{ OPENAI_API_KEY: 'sk-operator', OPENAI_BASE_URL: left.baseUrl },
    },
    deployments: PAIRS.flatMap((index) => [left.deployment({ id: `left${index}` }), right.deployment({ id: `right${index}` })]),
    config: {
      models: Object.fromEntries(
        PAIRS.map((index) => [
          `pair/${index}`,
          {
            deployments: [
              { use: `pureai/left${index}`, weight: 1, backup: false },
              { use: `pureai/right${index}`, weight: 1, backup: true },
            ],
          },
        ]),
      ),
    },
    log: createLog('info', { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]) }),
    bars: true,
  });
  keys = [await gateway.newKey(), await gateway.newKey()];
  for (const key of keys) await gateway.fund(key, DEPOSIT_SATS);
});

afterAll(async () => {
  await gateway.close();
  await Promise.all([left.close(), right.close()]);
});

beforeEach(() => {
  clock = fakeWallClock(Date.now());
  pair += 1;
  lines = [];
  for (const upstream of [left, right]) {
    upstream.forget();
    upstream.always((exchange) => exchange.answer());
  }
});

afterEach(async () => {
  clock.restore();
  expect(await gateway.audit()).toEqual([]);
});

const fault: FakeScript = (exchange) => exchange.error(500);
/** A model that both of the pair serve. */
const both = (members: object = {}) => chat({ model: `pair/${pair}`, max_tokens: 20, ...members });
/** The first of the pair alone. */
const alone = (members: object = {}) => chat({ model: `pureai/left${pair}`, max_tokens: 20, ...members });
const post = (request: object, key: TestKey = keys[0], headers: Record<string, string> = {}) => gateway.post(PATH, request, key, headers);
const asked = () => [left.requests.length, right.requests.length];
const servedBy = (answer: Response) => answer.headers.get('x-pura-provider');

async function postedOf(key: TestKey): Promise<bigint> {
  const { posted_msat: postedMsat, held_msat: heldMsat } = await accountOf(gateway.pool, key.accountId);
  expect(heldMsat).toBe(0n);
  return postedMsat;
}

/** Requests of both accounts in turn, one after the other: as many faults in a row as open the circuit. */
async function openCircuit(request: object = alone()): Promise<void> {
  for (let n = 0; n < FAULTS_IN_A_ROW; n++) await (await post(request, keys[n % 2])).text();
}

/** What an answer says that it cost. */
async function chargedOf(answer: Response, stream: boolean): Promise<number> {
  return Number(stream ? (await readStream(answer)).settled?.charged_msat : answer.headers.get('x-pura-charged-msat'));
}

interface StatusRow {
  id: string;
  status: string;
  deployments: { id: string; circuit: string; pausedUntil: string | null }[];
}

/** What `/api/status` says of the first of the pair, once its last answer is old enough to be asked anew. */
async function leftStatus(circuit: string): Promise<StatusRow> {
  let row: StatusRow | undefined;
  await until(async () => {
    const { providers } = (await (await gateway.get('/api/status')).json()) as { providers: StatusRow[] };
    row = providers.find(({ id }) => id === `left${pair}`);
    return row?.deployments[0]?.circuit === circuit;
  });
  return row as StatusRow;
}

/** What the log tells of the pair's circuits. */
const toldOfCircuits = () =>
  lines.filter(({ deployment }) => deployment?.includes(`left${pair}`)).map(({ level, reason, msg }) => [level, reason, msg]);
const OPENED = 'the circuit of a deployment opened: it is not asked until an attempt succeeds';
const CLOSED = 'the circuit of a deployment closed: it is asked again';

describe('a deployment that fails', () => {
  it.each([false, true])('is not asked any more: the other one serves, and each request is charged once (stream: %s)', async (stream) => {
    left.always(fault);
    const before = await Promise.all(keys.map(postedOf));
    const rounds = 2 * FAULTS_IN_A_ROW;
    for (let n = 0; n < rounds; n++) {
      const answer = await post(both({ stream }), keys[n % 2]);
      expect([answer.status, servedBy(answer)]).toEqual([200, `right${pair}`]);
      expect(await chargedOf(answer, stream)).toBe(CHARGED_MSAT);
    }
    expect(asked()).toEqual([FAULTS_IN_A_ROW, rounds]);
    const charged = BigInt((rounds / 2) * CHARGED_MSAT);
    expect(await Promise.all(keys.map(postedOf))).toEqual(before.map((msat) => msat - charged));
  });

  it.each([
    ['its own', 500, 'HTTP 500'],
    ["its operator's: a credential", 401, 'HTTP 401'],
    ["its operator's: a permission", 403, 'HTTP 403'],
    ["its operator's: a model that is not there", 404, 'HTTP 404'],
  ])('by a fault that is %s is told of in the status, and once in the log', async (_whose, status, reason) => {
    left.always((exchange) => exchange.error(status));
    await openCircuit();
    expect((await leftStatus('open')).status).toBe('degraded');
    for (let waitMs = FIRST_WAIT_MS; waitMs <= 8_000; waitMs *= 2) {
      clock.ms += waitMs;
      await (await post(alone())).text();
    }
    expect(toldOfCircuits()).toEqual([[40, reason, OPENED]]);
    left.always((exchange) => exchange.answer());
    clock.ms += 60_000;
    expect((await post(alone())).status).toBe(200);
    expect(toldOfCircuits().slice(1)).toEqual([[30, undefined, CLOSED]]);
    // Its faults of a minute ago still count.
    expect((await leftStatus('closed')).status).toBe('degraded');
  });

  it('has no other: requests end at once, and it is asked once after a wait that grows up to a minute', async () => {
    left.always(fault);
    await openCircuit();
    const waits: number[] = [];
    for (let probe = 0; probe < 8; probe++) {
      const answer = await post(alone(), keys[probe % 2]);
      expect([answer.status, left.requests.length]).toEqual([503, FAULTS_IN_A_ROW + probe]);
      const waitSeconds = Number(answer.headers.get('retry-after'));
      expect((await errorOf(answer)).message).toBe(`No provider could answer this request (left${pair}: circuit open, ${waitSeconds} s).`);
      waits.push(waitSeconds);
      clock.ms += waitSeconds * 1_000;
      expect((await post(alone(), keys[probe % 2])).status).toBe(503);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    left.always((exchange) => exchange.answer());
    clock.ms += 60_000;
    expect((await post(alone())).status).toBe(200);
    expect((await post(alone(), keys[1])).status).toBe(200);
  });
});

it('where all are shut, the 503 names each with its wait, asks for the shortest, and holds and charges nothing', async () => {
  left.always(fault);
  right.always((exchange) => exchange.error(429, 'Slow down.', { 'retry-after': '300' }));
  await openCircuit();
  await (await post(chat({ model: `pureai/right${pair}` }))).text();
  const before = asked();
  const posted = await postedOf(keys[0]);
  for (const stream of [false, true]) {
    const answer = await post(both({ stream }));
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await errorOf(answer)).toMatchObject({
      code: 'upstream_error',
      message: `No provider could answer this request (left${pair}: circuit open, 1 s; right${pair}: pause asked for, 300 s).`,
    });
  }
  expect(asked()).toEqual(before);
  expect(await postedOf(keys[0])).toBe(posted);
});

it("a 429's Retry-After shuts a deployment for as long as it says, and no longer", async () => {
  left.script((exchange) => exchange.error(429, 'Slow down.', { 'retry-after': '30' }));
  const serving = async () => servedBy(await post(both()));
  expect(await serving()).toBe(`right${pair}`);
  clock.ms += 29_000;
  expect([await serving(), left.requests.length]).toEqual([`right${pair}`, 1]);
  clock.ms += 1_000;
  expect([await serving(), left.requests.length]).toEqual([`left${pair}`, 2]);
});

describe('a circuit that is half-open', () => {
  const PARALLEL = 20;

  beforeEach(async () => {
    left.always(fault);
    await openCircuit();
    left.forget();
    left.always((exchange) => exchange.answer());
    clock.ms += FIRST_WAIT_MS;
  });

  it.each([false, true])('lets one of many probe, and its success closes it (stream: %s)', async (stream) => {
    const held = left.hold();
    const all = Array.from({ length: PARALLEL }, (_, n) => post(both({ stream }), keys[n % 2]));
    const probe = await held;
    await right.received(PARALLEL - 1);
    expect(asked()).toEqual([1, PARALLEL - 1]);
    await probe.answer();
    const answers = await Promise.all(all);
    for (const answer of answers) await answer.text();
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(answers.filter((answer) => servedBy(answer) === `left${pair}`)).toHaveLength(1);

    const after = await Promise.all(Array.from({ length: PARALLEL }, () => post(both())));
    expect(new Set(after.map(servedBy))).toEqual(new Set([`left${pair}`]));
  });

  it.each([false, true])('is freed by a client that leaves during its probe: the next one probes (stream: %s)', async (stream) => {
    const held = left.hold();
    const leaving = new AbortController();
    const answer = gateway.post(PATH, both({ stream }), keys[0], {}, leaving.signal).then(
      () => 'answered',
      () => 'left',
    );
    const probe = await held;
    expect(servedBy(await post(both(), keys[1]))).toBe(`right${pair}`);
    leaving.abort();
    expect(await answer).toBe('left');
    await probe.clientGone;
    await until(async () => (await holdsOf(gateway.pool, keys[0].accountId)).every(({ state }) => state !== 'pending'));
    expect(servedBy(await post(both(), keys[1]))).toBe(`left${pair}`);
    expect((await leftStatus('closed')).deployments).toMatchObject([{ circuit: 'closed', pausedUntil: null }]);
  });
});

describe('no circuit is opened', () => {
  const ROUNDS = 3 * FAULTS_IN_A_ROW;

  it.each([400, 413, 422])('by what a provider finds wrong with the request: HTTP %d', async (status) => {
    left.always((exchange) => exchange.error(status));
    for (let n = 0; n < ROUNDS; n++) expect((await post(alone(), keys[n % 2])).status).toBe(status);
    expect([left.requests.length, (await leftStatus('closed')).status]).toEqual([ROUNDS, 'idle']);
  });

  it.each([false, true])('by one account whose requests fail every time, while another is answered (stream: %s)', async (stream) => {
    left.always((exchange) => (exchange.body['user'] === undefined ? exchange.answer() : exchange.error(500)));
    const [other, one] = keys;
    const statuses: number[] = [];
    for (let n = 0; n < ROUNDS; n++) {
      const served = await post(alone({ stream }), other);
      await served.text();
      statuses.push(served.status);
      for (let again = 0; again < FAULTS_IN_A_ROW; again++) {
        const failed = await post(alone({ stream, user: 'one' }), one);
        expect([failed.status, (await errorOf(failed)).message]).toEqual([503, expect.stringContaining('HTTP 500')]);
      }
      clock.ms += 1_000;
    }
    expect(statuses).toEqual(statuses.map(() => 200));
    expect(left.requests).toHaveLength(ROUNDS * (FAULTS_IN_A_ROW + 1));
    expect(toldOfCircuits()).toEqual([]);
  });

  it.each([false, true])('by clients that leave (stream: %s)', async (stream) => {
    for (let n = 0; n < ROUNDS; n++) {
      const held = left.hold();
      const leaving = new AbortController();
      const answer = gateway.post(PATH, alone({ stream }), keys[n % 2], {}, leaving.signal);
      const { clientGone } = await held;
      leaving.abort();
      await expect(answer).rejects.toThrow();
      await clientGone;
    }
    expect((await post(alone())).status).toBe(200);
    expect(left.requests).toHaveLength(ROUNDS + 1);
  });
});

describe("a caller's own key", () => {
  const request = chat({ model: 'gpt-4o-mini', max_tokens: 20 });
  const own = { 'x-provider-key': 'sk-own-0123456789abcdef' };

  it("neither opens the circuit of the operator's, nor is barred by it, nor closes it", async () => {
    left.always(fault);
    for (let n = 0; n < 2 * FAULTS_IN_A_ROW; n++) expect((await post(request, keys[n % 2], own)).status).toBe(503);
    expect(left.requests).toHaveLength(2 * FAULTS_IN_A_ROW);
    left.forget();
    await openCircuit(request);
    expect((await post(request)).status).toBe(503);
    expect(left.requests).toHaveLength(FAULTS_IN_A_ROW);

    left.forget();
    left.always((exchange) => exchange.answer());
    for (const key of keys) expect((await post(request, key, own)).status).toBe(200);
    expect((await post(request)).status).toBe(503);
    expect(left.requests).toHaveLength(keys.length);
  });
});
