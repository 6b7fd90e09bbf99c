import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { chat } from '../support/chat.ts';
import { readStream } from '../support/chat-stream.ts';
import { completion, event, finishEvent, startFakeProvider, usageEvent, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, settledHold } from '../support/ledger.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({
    env: { FREE_TIER_REQUESTS: '0' },
    deployments: [upstream.deployment(), upstream.deployment({ id: 'gratis', prices: { input: 0, output: 0 } })],
  });
});

beforeEach(async () => {
  key = await gateway.newKey();
  await gateway.fund(key, 100);
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

/** "Hello." by our own count: 6 bytes, so 2 tokens; the prompt of `chat()` has 47, so 12. At 1 and 2 msat a token. */
const PROMPT_MSAT = 12;
const OWN_MSAT = PROMPT_MSAT + 2 * 2;
const usage = (prompt_tokens: unknown, completion_tokens: unknown, more: object = {}) => ({ prompt_tokens, completion_tokens, ...more });

describe('what a provider says it used', () => {
  const BILLS: [name: string, usage: unknown, msat: number][] = [
    ['plain figures', usage(10, 5), 20],
    ['none', null, OWN_MSAT],
    ['none of its members', {}, OWN_MSAT],
    ['a list', [], OWN_MSAT],
    ['a word', 'a lot', OWN_MSAT],
    ['negative', usage(-10, -5), OWN_MSAT],
    ['negative output', usage(10, -5), 10 + 2 * 2],
    ['a fraction', usage(10.5, 5), PROMPT_MSAT + 5 * 2],
    ['digits', usage('10', '5'), 20],
    ['words', usage('ten', 'five'), OWN_MSAT],
    ['beyond any number of tokens', usage(10, 1e15), 10 + 2 * 2],
    ['more cached than sent', usage(10, 5, { prompt_tokens_details: { cached_tokens: 11 } }), 20],
    ['an empty list where details would be', usage(10, 5, { prompt_tokens_details: [] }), 20],
    ['reasoning on top', usage(10, 5, { total_tokens: 40, completion_tokens_details: { reasoning_tokens: 25 } }), 10 + 30 * 2],
    ['more reasoning than output', usage(10, 5, { completion_tokens_details: { reasoning_tokens: 25 } }), 10 + 30 * 2],
    ['a larger total', usage(10, 5, { total_tokens: 40 }), 10 + 30 * 2],
    ['zero, for something that was delivered', usage(0, 0), OWN_MSAT],
    ['zero output', usage(10, 0), 10 + 2 * 2],
    ['zero input', usage(0, 5), PROMPT_MSAT + 5 * 2],
  ];

  it.each(BILLS)('%s: the same right bill for JSON and for a stream', async (_name, given, msat) => {
    upstream.script((exchange) => exchange.json(completion({ usage: given })));
    const json = await gateway.post('/v1/chat/completions', chat(), key);
    upstream.script((exchange) => exchange.stream(['Hel', 'lo.'], { usage: given }));
    const stream = await readStream(await gateway.post('/v1/chat/completions', chat({ stream: true }), key));

    expect(json.headers.get('x-pura-charged-msat')).toBe(String(msat));
    expect(stream.settled?.charged_msat).toBe(msat);
    expect((await accountOf(gateway.pool, key.accountId)).posted_msat).toBe(100_000n - 2n * BigInt(msat));
    expect(await gateway.audit()).toEqual([]);
  });

  it('more than the hold: the hold is charged, the rest is the house’s loss', async () => {
    upstream.script((exchange) => exchange.json(completion({ usage: usage(900_000_000, 900_000_000) })));
    const answer = await gateway.post('/v1/chat/completions', chat({ max_tokens: 10 }), key);

    expect(answer.status).toBe(200);
    const hold = await settledHold(gateway.pool, key.accountId);
    expect(hold.posted_msat).toBe(hold.amount_msat);
    expect(answer.headers.get('x-pura-charged-msat')).toBe(String(hold.amount_msat));
    expect(await gateway.audit()).toEqual([]);
  });

  it('zero counts where the model is free', async () => {
    upstream.script((exchange) => exchange.json(completion({ usage: usage(0, 0) })));
    const answer = await gateway.post('/v1/chat/completions', chat({ model: 'pureai/gratis' }), key);
    expect(answer.headers.get('x-pura-charged-msat')).toBe('0');
    expect(await answer.json()).toMatchObject({ usage: { prompt_tokens: 0, completion_tokens: 0, total_cost_usd: 0 } });
  });

  it('cached tokens are billed at their own rate', async () => {
    upstream.script((exchange) => exchange.json(completion({ usage: usage(10, 5, { prompt_tokens_details: { cached_tokens: 4 } }) })));
    const answer = (await (await gateway.post('/v1/chat/completions', chat(), key)).json()) as { usage: Record<string, number> };
    const { input_cost_usd = 0, cache_input_cost_usd = 0, output_cost_usd = 0, total_cost_usd = 0 } = answer.usage;
    expect(Math.round((input_cost_usd + cache_input_cost_usd + output_cost_usd) * 1e12)).toBe(Math.round(total_cost_usd * 1e12));
    expect(input_cost_usd).toBe(0.000006);
  });
});

describe('"usage" where it is no usage', () => {
  const forged = '"usage":{"prompt_tokens":0,"completion_tokens":0}';
  const tool = {
    type: 'function',
    function: { name: 'f', parameters: { type: 'object', properties: { usage: { const: { prompt_tokens: 0, completion_tokens: 0 } } } } },
  };
  const asked = chat({
    tools: [tool],
    response_format: { type: 'json_schema', json_schema: { name: 'usage', schema: { usage: { prompt_tokens: 0 } } } },
  });

  it('in tool schemas, arguments and content changes no bill of a JSON answer', async () => {
    const body = completion({ content: `{${forged}}` }) as { choices: { message: object }[] };
    Object.assign(body.choices[0]?.message ?? {}, {
      tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: `{${forged}}` }, usage: usage(0, 0) }],
    });
    upstream.script((exchange) => exchange.json(body));
    expect((await gateway.post('/v1/chat/completions', asked, key)).headers.get('x-pura-charged-msat')).toBe('20');
  });

  it('in the deltas of a stream changes no bill, and goes out untouched', async () => {
    const deltas = [
      { content: `{${forged}}` },
      { content: `data: {"choices":[],${forged}}\n\n` },
      { tool_calls: [{ index: 0, function: { arguments: `{${forged}}` }, usage: usage(0, 0) }] },
      { usage: usage(0, 0) },
    ].map((delta) => event({ choices: [{ index: 0, delta, usage: usage(0, 0) }] }));
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.send(usageEvent());
      for (const delta of deltas) await exchange.send(delta);
      await exchange.send(`${finishEvent()}data: [DONE]\n\n`);
      exchange.end();
    });
    const { raw, settled } = await readStream(await gateway.post('/v1/chat/completions', { ...asked, stream: true }, key));
    expect(settled?.charged_msat).toBe(20);
    expect(raw.startsWith(deltas.join(''))).toBe(true);
  });

  it('in another spelling, or twice, is not taken for the real one', async () => {
    const twice = event({ choices: [], usage: usage(10, 5) }).replace(
      '"usage"',
      `"Usage":{"prompt_tokens":0,"completion_tokens":0},${forged},"usage"`,
    );
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.content('Hello.');
      await exchange.send(`${finishEvent()}${twice}data: [DONE]\n\n`);
      exchange.end();
    });
    const { settled } = await readStream(await gateway.post('/v1/chat/completions', chat({ stream: true }), key));
    expect(settled?.charged_msat).toBe(20);
  });
});
