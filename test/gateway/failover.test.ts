import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ModelsConfig } from '../../src/config/model-config.ts';
import { readStream } from '../support/chat-stream.ts';
import { chat, errorOf, ownPromptTokens } from '../support/chat.ts';
import { startFakeProvider, type FakeExchange, type FakeProvider, type FakeScript } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf } from '../support/ledger.ts';
import { fakeTimer, type FakeTimer } from '../support/fake-timer.ts';
import { plainAnswer, wireOfPath } from '../support/plain-answers.ts';
import { until } from '../support/until.ts';
import { fakeWallClock, type WallClock } from '../support/wall-clock.ts';

const PATH = '/v1/chat/completions';
/** The providers that fail, and the model of each that the spare is a backup for. */
const MODELS = {
  openai: 'gpt-4o-mini',
  anthropic: 'claude-haiku-4-5',
  gemini: 'gemini-2.5-flash',
  groq: 'llama-3.1-8b-instant',
  deepseek: 'deepseek-v4-flash',
  moonshot: 'kimi-k2.5',
  custom: 'pureai/custom',
} as const;
type Name = keyof typeof MODELS;
const NAMES = Object.keys(MODELS) as Name[];

const PARALLEL = 20;
const TIMEOUT_SECONDS = 8;
/** The first one asked has no more of the time. */
const FIRST_PART = 3 / 4;
/** 10 × $200 and 5 × $400 a million tokens, in msat of 100,000 USD a bitcoin: no other model asks as much. */
const SPARE_MSAT = 4_000;
const SPARE_PRICES = { input: 200, output: 400 };
const DEPOSIT_SATS = 50_000;

const upstreams = new Map<Name, FakeProvider>();
let spare: FakeProvider;
let gateway: TestGateway;
/** Of the silence of providers. */
let timer: FakeTimer;

const at = (name: Name): FakeProvider => upstreams.get(name) as FakeProvider;
const answerWell: FakeScript = (exchange) => {
  const { contentType, body } = plainAnswer(wireOfPath(exchange.path), isStream(exchange), exchange.body);
  exchange.raw(body, { headers: { 'content-type': contentType } });
};
const isStream = ({ body, path }: FakeExchange) => body['stream'] === true || path.includes(':streamGenerateContent');

beforeAll(async () => {
  for (const name of NAMES) upstreams.set(name, await startFakeProvider());
  spare = await startFakeProvider();
});

afterEach(async () => {
  await gateway.close();
});

afterAll(async () => {
  await Promise.all([...upstreams.values(), spare].map((upstream) => upstream.close()));
});

/** A gateway that has not seen any of them fail yet. */
async function openGateway(): Promise<void> {
  timer = fakeTimer();
  gateway = await startGateway({
    timer,
    env: {
      ...Object.fromEntries(NAMES.filter((name) => name !== 'custom').flatMap((name) => variablesOf(name))),
      ...{
        FREE_TIER_REQUESTS: '0',
        ALLOW_SIMULATED: 'true',
        UPSTREAM_TIMEOUT_SECONDS: String(TIMEOUT_SECONDS),
        OPEN_STREAMS_PER_ACCOUNT: '1000',
      },
      DAILY_BUDGET_USD: '100000',
    },
    deployments: [at('custom').deployment({ id: 'custom' }), spare.deployment({ id: 'spare', prices: SPARE_PRICES })],
    config: { models: Object.fromEntries(NAMES.map((name) => [`with-spare/${name}`, withSpare(MODELS[name])])) },
    bars: true,
  });
}

function variablesOf(name: Name): [string, string][] {
  return [
    [`${name.toUpperCase()}_API_KEY`, 'sk-operator'],
    [`${name.toUpperCase()}_BASE_URL`, at(name).baseUrl],
  ];
}

function withSpare(use: string): ModelsConfig[string] {
  return {
    deployments: [
      { use: 'pureai/spare', weight: 1, backup: true },
      { use, weight: 1, backup: false },
    ],
  };
}

async function fundedKey(): Promise<TestKey> {
  const key = await gateway.newKey();
  await gateway.fund(key, DEPOSIT_SATS);
  return key;
}

/** A request for a model that one provider and the spare serve. */
function askFor(name: Name, stream: boolean): ReturnType<typeof chat> {
  return chat({ model: `with-spare/${name}`, stream, max_tokens: 20 });
}

/** A failure before the first word: what its provider does to each request, or before all of them. */
interface Failure {
  what: string;
  script?: FakeScript;
  before?: (upstream: FakeProvider) => Promise<void>;
  /** What happens once so many requests have been sent. */
  once?: (count: number) => Promise<void>;
  after?: (upstream: FakeProvider) => Promise<void>;
}

/** All of them wait out the time of the first one asked, and come to the spare at the same instant. */
async function allSilent(count: number): Promise<void> {
  await until(() => NAMES.reduce((sum, name) => sum + at(name).requests.length, 0) === count);
  timer.pass(TIMEOUT_SECONDS * 1000 * FIRST_PART);
}

const FAILURES: Failure[] = [
  { what: '429 with a wait', script: (exchange) => exchange.error(429, 'Slow down.', { 'retry-after': '30' }) },
  { what: '500', script: (exchange) => exchange.error(500) },
  { what: 'silence', script: () => {}, once: allSilent },
  {
    what: 'a connection cut before the first event',
    script: async (exchange) => {
      const type = isStream(exchange) ? 'text/event-stream' : 'application/json';
      exchange.startAnswer(200, { 'content-type': type });
      await exchange.send(': working\n\n');
      exchange.reset();
    },
  },
  { what: 'a refused connection', before: (upstream) => upstream.refuse(), after: (upstream) => upstream.accept() },
];

/** What an answer says, and what it says it cost. */
async function told(answer: Response, stream: boolean): Promise<{ content: string; chargedMsat: number }> {
  if (stream) {
    const { content, settled } = await readStream(answer);
    return { content, chargedMsat: Number(settled?.charged_msat) };
  }
  const { choices } = (await answer.json()) as { choices: [{ message: { content: string } }] };
  return { content: choices[0].message.content, chargedMsat: Number(answer.headers.get('x-pura-charged-msat')) };
}

describe('every provider at once', () => {
  it.each(FAILURES.flatMap((failure) => [false, true].map((stream) => ({ ...failure, stream }))))(
    `failing by $what (stream: $stream): ${PARALLEL} requests to each are answered by another, and charged once, at its price`,
    async ({ script, before, once, after, stream }) => {
      await openGateway();
      const key = await fundedKey();
      for (const upstream of upstreams.values()) {
        upstream.forget();
        if (script) upstream.always(script);
        await before?.(upstream);
      }
      const count = PARALLEL * NAMES.length;
      try {
        const answering = Promise.all(
          Array.from({ length: count }, (_, index) => gateway.post(PATH, askFor(NAMES[index % NAMES.length] as Name, stream), key)),
        );
        await once?.(count);
        const answers = await answering;
        for (const answer of answers) {
          expect([answer.status, answer.headers.get('x-pura-provider'), answer.headers.get('x-pura-model')]).toEqual([
            200,
            'spare',
            'pureai/spare',
          ]);
          expect(await told(answer, stream)).toEqual({ content: 'Hello.', chargedMsat: SPARE_MSAT });
        }
      } finally {
        for (const upstream of upstreams.values()) await after?.(upstream);
      }
      const reachable = script ? NAMES : [];
      expect(reachable.filter((name) => at(name).requests.length === 0)).toEqual([]);

      const charged = BigInt(count * SPARE_MSAT);
      expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({
        posted_msat: BigInt(DEPOSIT_SATS) * 1000n - charged,
        held_msat: 0n,
      });
      expect(new Set((await holdsOf(gateway.pool, key.accountId)).map(({ state }) => state))).toEqual(new Set(['posted']));
      expect(await (await gateway.get('/api/report', key)).json()).toMatchObject({
        totalSpendMsat: Number(charged),
        totalChargedMsat: Number(charged),
        requestCount: count,
        perProvider: { spare: { requestCount: count } },
      });
      expect(await gateway.audit()).toEqual([]);
    },
  );
});

describe('the candidate behind one that failed', () => {
  it('is not asked once something was delivered: what was is charged, at the price of the one that broke off', async () => {
    await openGateway();
    const key = await fundedKey();
    spare.forget();
    at('custom').script(async (exchange) => {
      exchange.startStream();
      await exchange.content('twelve bytes');
      exchange.reset();
    });
    const request = askFor('custom', true);
    const stream = await readStream(await gateway.post(PATH, request, key));
    expect(stream).toMatchObject({ content: 'twelve bytes', done: false, error: { code: 'upstream_error' } });
    expect(spare.requests).toEqual([]);
    // A token of $1 a million is a msat here; three of $2 were delivered.
    const charged = ownPromptTokens(request) + 3 * 2;
    expect(stream.settled).toMatchObject({ charged_msat: charged });
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({
      posted_msat: BigInt(DEPOSIT_SATS) * 1000n - BigInt(charged),
      held_msat: 0n,
    });
    expect(await gateway.audit()).toEqual([]);
  });

  it.each([false, true])('tells what it finds wrong with the request: nothing is charged (stream: %s)', async (stream) => {
    await openGateway();
    const key = await fundedKey();
    at('custom').script((exchange) => exchange.error(503));
    spare.script((exchange) => exchange.error(400, 'The prompt is too long.'));
    const answer = await gateway.post(PATH, askFor('custom', stream), key);
    expect([answer.status, answer.headers.get('x-pura-provider'), (await errorOf(answer)).message]).toEqual([
      400,
      'spare',
      'The prompt is too long.',
    ]);
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: BigInt(DEPOSIT_SATS) * 1000n, held_msat: 0n });
  });

  it('is held for from the beginning: the hold covers the dearest of all', async () => {
    await openGateway();
    const key = await fundedKey();
    const held = at('custom').hold();
    const answer = gateway.post(PATH, askFor('custom', false), key);
    const exchange = await held;
    const [hold] = await holdsOf(gateway.pool, key.accountId);
    // 20 tokens of output at the spare's price.
    expect(hold?.amount_msat).toBeGreaterThan(BigInt(20 * SPARE_PRICES.output));
    await answerWell(exchange);
    expect((await answer).headers.get('x-pura-charged-msat')).toBe('20');
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: BigInt(DEPOSIT_SATS) * 1000n - 20n, held_msat: 0n });
  });
});

describe('every provider that recovers', () => {
  const FAULTS_IN_A_ROW = 5;
  const FIRST_WAIT_MS = 1_000;
  let clock: WallClock;

  beforeEach(() => {
    clock = fakeWallClock(Date.now());
  });

  afterEach(() => clock.restore());

  it.each([false, true])('is spared until its circuit lets one request try, and then has its traffic back (stream: %s)', async (stream) => {
    await openGateway();
    const key = await fundedKey();
    const servedBy = async (count: number) => {
      const served: string[][] = [];
      for (const name of NAMES) {
        const ofOne: string[] = [];
        for (let one = 0; one < count; one++) {
          const answer = await gateway.post(PATH, askFor(name, stream), key);
          await answer.text();
          ofOne.push(answer.headers.get('x-pura-provider') ?? `${answer.status}`);
        }
        served.push(ofOne);
      }
      return served;
    };
    const asked = () => NAMES.map((name) => at(name).requests.length);
    const each = <T>(value: T): T[] => NAMES.map(() => value);

    for (const name of NAMES) {
      at(name).forget();
      at(name).always((exchange) => exchange.error(500));
    }
    expect(await servedBy(FAULTS_IN_A_ROW + 2)).toEqual(each(Array.from({ length: FAULTS_IN_A_ROW + 2 }, () => 'spare')));
    expect(asked()).toEqual(each(FAULTS_IN_A_ROW));

    for (const name of NAMES) at(name).always(answerWell);
    expect(await servedBy(1)).toEqual(each(['spare']));
    expect(asked()).toEqual(each(FAULTS_IN_A_ROW));
    clock.ms += FIRST_WAIT_MS;
    expect(await servedBy(3)).toEqual(NAMES.map((name) => [name, name, name]));
    expect(asked()).toEqual(each(FAULTS_IN_A_ROW + 3));
    expect(await gateway.audit()).toEqual([]);
  });
});

it('where nobody may be asked, the answer is a 503 at once, with the shortest wait, and nothing is sent or charged', async () => {
  await openGateway();
  const key = await fundedKey();
  const wait =
    (seconds: number): FakeScript =>
    (exchange) =>
      exchange.error(429, 'Slow down.', { 'retry-after': `${seconds}` });
  at('custom').script(wait(500));
  spare.script(wait(300));
  const first = await gateway.post(PATH, askFor('custom', false), key);
  expect([first.status, first.headers.get('retry-after')]).toEqual([503, '300']);
  spare.forget();
  at('custom').forget();
  for (const stream of [false, true]) {
    const answer = await gateway.post(PATH, askFor('custom', stream), key);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeLessThanOrEqual(300);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(200);
    expect((await errorOf(answer)).message).toMatch(/\(custom: pause asked for, \d+ s; spare: pause asked for, \d+ s\)/);
  }
  expect([...spare.requests, ...at('custom').requests]).toEqual([]);
  expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: BigInt(DEPOSIT_SATS) * 1000n, held_msat: 0n });
});
