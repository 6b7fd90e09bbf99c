import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { chat, errorOf, ownPromptTokens } from '../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { OpenStream, readStream } from '../support/chat-stream.ts';
import { completion, contentEvent, event, finishEvent, startFakeProvider, usageEvent } from '../support/fake-provider.ts';
import type { FakeExchange, FakeProvider, FakeScript } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, holdsOf, settledHold } from '../support/ledger.ts';
import { until } from '../support/until.ts';

/** The cheapest first, whatever became of the requests before. */
const CHEAPEST = { model: 'auto', routing: { cost_weight: 1 } };

let upstream: FakeProvider;
let spare: FakeProvider;
let database: TestDatabase;
let gateway: TestGateway;
/** Waits a second for a provider's first word. */
let impatient: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  spare = await startFakeProvider();
  database = await createTestDatabase();
  const deployments = [upstream.deployment(), spare.deployment({ id: 'spare', prices: { input: 2, output: 4 } })];
  const start = (env: object) => startGateway({ database, deployments, env: { FREE_TIER_REQUESTS: '0', ...env } });
  gateway = await start({});
  impatient = await start({ UPSTREAM_TIMEOUT_SECONDS: '1' });
});

beforeEach(async () => {
  key = await gateway.newKey();
  await gateway.fund(key, 1000);
});

afterAll(async () => {
  await Promise.all([gateway.close(), impatient.close()]);
  await Promise.all([upstream.close(), spare.close(), database.drop()]);
});

const DONE = 'data: [DONE]\n\n';
const OWN_PROMPT_MSAT = BigInt(ownPromptTokens(chat()));
const ask = (members: object = {}, signal?: AbortSignal, asked = gateway) =>
  asked.post('/v1/chat/completions', chat({ stream: true, ...members }), key, {}, signal);

const ROLE = event({ choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] });
const PREAMBLES: [string, string][] = [
  ['a comment', ': PROCESSING\n\n'],
  ['a role', ROLE],
  ['comments and empty words', `: a\n\n${ROLE}${contentEvent('')}: b\n\nretry: 3000\n\n`],
  ['the verdict of a filter', event({ choices: [], prompt_filter_results: [{ content_filter_results: { hate: { severity: 'safe' } } }] })],
  ['figures', usageEvent({ prompt_tokens: 10, completion_tokens: 1 })],
];

const ENDS: [string, (exchange: FakeExchange) => void | Promise<void>][] = [
  ['an error event', (exchange) => exchange.send('data: {"error":{"message":"overloaded"}}\n\n')],
  ['an error event of another shape', (exchange) => exchange.send('event: error\ndata: {"message":"overloaded"}\n\n')],
  ['a reset', (exchange) => exchange.reset()],
  ['its end', (exchange) => exchange.end()],
  ['[DONE]', (exchange) => exchange.send(DONE)],
  ['silence', () => {}],
];

const CASES = PREAMBLES.flatMap(([preamble, events]) => ENDS.map(([end, finish]) => ({ preamble, events, end, finish })));

describe('a stream in which nothing was said', () => {
  const askedOf = ({ end }: (typeof CASES)[number]): TestGateway => (end === 'silence' ? impatient : gateway);
  const scriptCase = ({ events, finish }: (typeof CASES)[number]): void =>
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.send(events);
      await finish(exchange);
    });

  it.each(CASES)('but $preamble, and then $end: costs nothing', async (failing) => {
    scriptCase(failing);
    const answer = await ask({}, undefined, askedOf(failing));
    expect([answer.status, (await errorOf(answer)).code]).toEqual([503, 'upstream_error']);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n });
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 1_000_000n, held_msat: 0n });
  });

  it.each(CASES)('but $preamble, and then $end: another candidate answers, and only it', async (failing) => {
    scriptCase(failing);
    const answer = await ask(CHEAPEST, undefined, askedOf(failing));
    expect(answer.headers.get('x-pura-provider')).toBe('spare');
    const stream = await readStream(answer);
    expect(stream).toMatchObject({ content: 'Hello.', done: true, settled: { charged_msat: 40 } });
    expect(stream.chunks[0]?.choices?.[0]?.delta?.content).toBe('Hello');
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_msat: 40n });
  });

  it('takes no free slot', async () => {
    await gateway.pool.query('update accounts set free_limit = 5, posted_msat = posted_msat where id = $1', [key.accountId]);
    const [failing] = CASES;
    if (failing) scriptCase(failing);
    expect((await ask()).status).toBe(503);
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ free_used: 0, free_streams: 0 });
  });

  it('is a failure of its provider', async () => {
    const own = await startGateway({ deployments: [upstream.deployment()] });
    const [failing] = CASES;
    if (failing) scriptCase(failing);
    await (await own.post('/v1/chat/completions', chat({ stream: true }), await own.newKey())).text();
    const { providers } = (await (await own.get('/api/status')).json()) as { providers: { id: string; status: string }[] };
    expect(providers.find(({ id }) => id === 'fake')?.status).toBe('degraded');
    await own.close();
  });

  it.each(PREAMBLES)('but %s, and the client leaves: the model has worked out of its sight', async (_name, events) => {
    const held = upstream.hold();
    const client = new AbortController();
    const answer = ask({}, client.signal);
    answer.catch(() => {});
    const exchange = await held;
    exchange.startStream();
    await exchange.send(events);
    client.abort();
    await exchange.clientGone;
    await answer.catch(() => {});
    const hold = await settledHold(gateway.pool, key.accountId);
    expect(hold.state).toBe('posted');
    expect(hold.posted_msat).toBeGreaterThan(events.includes('"usage"') ? 10n : OWN_PROMPT_MSAT);
    expect(hold.posted_msat).toBeLessThanOrEqual(hold.amount_msat);
    expect(await gateway.audit()).toEqual([]);
  });
});

describe('a JSON answer', () => {
  const EMPTY: [string, object][] = [
    ['no choices', { choices: [] }],
    ['choices null', { choices: null }],
    ['an empty choice', { choices: [{}] }],
    ['null for a choice', { choices: [null] }],
    ['a message that says nothing', { choices: [{ index: 0, message: { role: 'assistant', content: '' }, finish_reason: null }] }],
    ['an empty list of content', { choices: [{ index: 0, message: { role: 'assistant', content: [], tool_calls: [] } }] }],
    ['an error beside it', { choices: [{ index: 0, message: { content: 'half' } }], error: { message: 'overloaded' } }],
  ];

  it.each(EMPTY)('with %s is no completion', async (_name, members) => {
    const script: FakeScript = (exchange) => exchange.json({ ...completion(), ...members });
    upstream.script(script);
    expect((await ask({ stream: false })).status).toBe(503);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n });
    upstream.script(script);
    expect((await ask({ stream: false, ...CHEAPEST })).headers.get('x-pura-provider')).toBe('spare');
  });

  it.each<[string, object, number]>([
    ['a finish', { message: { role: 'assistant', content: null }, finish_reason: 'length' }, 10],
    ['reasoning', { message: { content: null, reasoning_content: 'twelve bytes' } }, 10 + 3 * 2],
    ['a tool call', { message: { content: null, tool_calls: [{ function: { name: 'abcd', arguments: '{}' } }] } }, 10 + 2 * 2],
    ['parts', { message: { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'twelve bytes' }] }] } }, 10 + 3 * 2],
  ])('with %s is one, and billed by what was written where its figures say nothing', async (_name, choice, msat) => {
    upstream.script((exchange) =>
      exchange.json({ ...completion({ usage: { prompt_tokens: 10, completion_tokens: 0 } }), choices: [choice] }),
    );
    const answer = await ask({ stream: false });
    expect([answer.status, answer.headers.get('x-pura-charged-msat')]).toEqual([200, String(msat)]);
  });
});

describe('what is billed of a stream that does not end whole', () => {
  const WORDS = 300;
  const words = Array.from({ length: WORDS }, (_, index) => contentEvent(`wor${String(index).padStart(4, '0')} `));
  const early = event({
    choices: [{ index: 0, delta: { role: 'assistant', content: '' } }],
    usage: { prompt_tokens: 10, completion_tokens: 1 },
  });
  const running = (tokens: number) =>
    event({ choices: [{ index: 0, delta: { content: 'word000 ' } }], usage: { prompt_tokens: 10, completion_tokens: tokens } });
  const thinking = Array.from({ length: WORDS }, () =>
    event({ choices: [{ index: 0, delta: { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'word000 ' }] }] } }] }),
  );

  const CUT: [string, string[], number][] = [
    ['figures on the first chunk', [early, ...words], 10 + 2 * WORDS * 2],
    ['figures on a chunk of their own first', [usageEvent({ prompt_tokens: 10, completion_tokens: 1 }), ...words], 10 + 2 * WORDS * 2],
    [
      'figures in the middle',
      [...words.slice(0, 100), usageEvent({ prompt_tokens: 10, completion_tokens: 200 }), ...words.slice(100)],
      10 + 2 * WORDS * 2,
    ],
    ['figures on every chunk, which know more', Array.from({ length: 10 }, (_, index) => running(index * 50)), 10 + 450 * 2],
    ['figures on every chunk, one behind', Array.from({ length: 10 }, (_, index) => running(index * 2)), 10 + 20 * 2],
    ['no figures', words, Number(OWN_PROMPT_MSAT) + 2 * WORDS * 2],
    ['thoughts in parts', thinking, Number(OWN_PROMPT_MSAT) + 2 * WORDS * 2],
  ];

  it.each(CUT)('%s: broken off', async (_name, events, msat) => {
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.send(events.join(''));
      exchange.end();
    });
    expect((await readStream(await ask())).settled?.charged_msat).toBe(msat);
  });

  it.each(CUT)('%s: the client leaves', async (_name, events, msat) => {
    const held = upstream.hold();
    const answer = ask();
    const exchange = await held;
    exchange.startStream();
    await exchange.send(events.join(''));
    const stream = new OpenStream(await answer);
    await stream.until(events.at(-1) ?? '');
    await stream.leave();
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted', posted_msat: BigInt(msat) });
  });

  it.each<[string, string[], number]>([
    ['only figures of its beginning', [early, ...words, finishEvent(), DONE], 10 + 2 * WORDS * 2],
    [
      'figures at its end, whatever we count',
      [early, ...words, finishEvent(), usageEvent({ prompt_tokens: 10, completion_tokens: 7 }), DONE],
      10 + 7 * 2,
    ],
    [
      'figures of its beginning that leave a word out',
      [usageEvent({ prompt_tokens: 10, completion_tokens: 3 }), ...words.slice(0, 2), finishEvent(), DONE],
      10 + 3 * 2,
    ],
  ])('and of a whole one with %s', async (_name, events, msat) => {
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.send(events.join(''));
      exchange.end();
    });
    expect((await readStream(await ask())).settled?.charged_msat).toBe(msat);
  });

  it('is never more than the cap of all choices', async () => {
    upstream.script((exchange) => exchange.stream(['one word'], { usage: { prompt_tokens: 10, completion_tokens: 100_000 } }));
    expect((await readStream(await ask({ max_tokens: 100 }))).settled?.charged_msat).toBe(10 + 100 * 2);
    upstream.script((exchange) => exchange.stream(['one word'], { usage: { prompt_tokens: 10, completion_tokens: 100_000 } }));
    expect((await readStream(await ask({ max_tokens: 100, n: 3 }))).settled?.charged_msat).toBe(10 + 300 * 2);
  });

  it('is not more in a checkpoint either', async () => {
    const held = upstream.hold();
    const answer = ask({ max_tokens: 5 });
    const exchange = await held;
    exchange.startStream();
    await exchange.send(words.join(''));
    const stream = new OpenStream(await answer);
    await stream.until(words.at(-1) ?? '');
    const checkpoint = await until(async () => (await holdsOf(gateway.pool, key.accountId))[0]?.checkpoint_msat);
    expect(checkpoint).toBe(OWN_PROMPT_MSAT + 5n * 2n);
    await exchange.send(finishEvent() + usageEvent({ prompt_tokens: 10, completion_tokens: 5 }) + DONE);
    expect((await stream.rest()).settled?.charged_msat).toBe(20);
  });
});
