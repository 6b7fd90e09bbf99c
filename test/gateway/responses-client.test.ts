import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI, { BadRequestError } from 'openai';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { settledHold } from '../support/ledger.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({
    env: { DEMO_PROVIDER: 'true' },
    deployments: [upstream.deployment(), upstream.deployment({ id: 'native', wire: 'openai-responses' })],
  });
  key = await gateway.newKey();
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: key.secret, maxRetries: 0 });
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

describe.each(['demo-cheap', 'pureai/fake'])('the openai client asks %s for a response', (model) => {
  it('and gets a whole one, with what it cost', async () => {
    const { data, response } = await client.responses.create({ model, input: 'Say hello.', instructions: 'Be brief.' }).withResponse();
    expect(data.output_text).toMatch(/hello/i);
    expect(data).toMatchObject({ object: 'response', status: 'completed', store: false });
    expect(data.usage).toMatchObject({ total_tokens: expect.any(Number), total_cost_usd: expect.any(Number) });
    expect(response.headers.get('x-pura-model')).toBe(model);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'posted' });
  });

  it('and gets a stream whose last event holds it', async () => {
    const stream = client.responses.stream({ model, input: 'Say hello.' });
    let text = '';
    stream.on('response.output_text.delta', ({ delta }) => (text += delta));
    const final = await stream.finalResponse();
    expect(text).toMatch(/hello/i);
    expect(final.output_text).toBe(text);
    expect(final.usage).toMatchObject({ total_tokens: expect.any(Number) });
  });

  it('and is told by name what is not kept', async () => {
    const refused = client.responses.create({ model, input: 'x', previous_response_id: 'resp_1' });
    await expect(refused).rejects.toThrow(BadRequestError);
    await expect(refused).rejects.toMatchObject({ code: 'unknown_parameter', param: 'previous_response_id' });
  });
});

describe('a provider that speaks the Responses API', () => {
  const usage = {
    input_tokens: 100,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 50,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 150,
  };
  const message = {
    id: 'msg_1',
    type: 'message',
    status: 'completed',
    role: 'assistant',
    content: [{ type: 'output_text', text: 'Hello.', annotations: [] }],
  };
  const response = {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    status: 'completed',
    model: 'm',
    output: [message],
    usage,
    error: null,
  };
  const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  const events = [
    { type: 'response.created', response: { ...response, status: 'in_progress', output: [], usage: null } },
    { type: 'response.output_item.added', output_index: 0, item: { ...message, status: 'in_progress', content: [] } },
    { type: 'response.content_part.added', ...place, part: { type: 'output_text', text: '', annotations: [] } },
    { type: 'response.output_text.delta', ...place, delta: 'Hello.' },
    { type: 'response.output_text.done', ...place, text: 'Hello.' },
    { type: 'response.content_part.done', ...place, part: message.content[0] },
    { type: 'response.output_item.done', output_index: 0, item: message },
    { type: 'response.completed', response },
  ].map((event, number) => `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: number })}\n\n`);
  const model = 'pureai/native';
  /** $1 and $2 a million tokens. */
  const COST_PICO_USD = 100n * 1_000_000n + 50n * 2_000_000n;

  const answers = (): void =>
    upstream.script(async (exchange) => {
      if (exchange.body['stream'] !== true) return exchange.json(response);
      exchange.startStream();
      for (const event of events) await exchange.send(event);
      exchange.end();
    });

  it('is told what the gateway decides, and its stream reaches the client as it came', async () => {
    const fresh = await gateway.newKey();
    answers();
    const reply = await fetch(`${gateway.url}/v1/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${fresh.secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, input: 'x', stream: true, store: true, max_output_tokens: 77, tools: [{ type: 'web_search' }] }),
    });
    const stream = await reply.text();
    expect(reply.headers.get('x-pura-ignored')).toBe('web_search');
    expect(stream.replace(/^: pura .*\n/m, '')).toBe(events.join(''));
    expect(stream).toMatch(/\n\n: pura \{.*\}\nevent: response\.completed\n/);
    const { path, body } = upstream.requests.at(-1) ?? {};
    expect(path).toBe('/v1/responses');
    expect(body).toMatchObject({ input: 'x', store: false, max_output_tokens: 77, stream: true });
    expect(body).not.toHaveProperty('tools');
    expect(await settledHold(gateway.pool, fresh.accountId)).toMatchObject({ state: 'posted', posted_pico_usd: COST_PICO_USD });
  });

  it('costs the same as JSON, with the figures in the body', async () => {
    const fresh = await gateway.newKey();
    answers();
    const own = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: fresh.secret, maxRetries: 0 });
    const told = await own.responses.create({ model, input: 'x' });
    expect(told).toMatchObject({ id: 'resp_1', output_text: 'Hello.', usage: { ...usage, total_cost_usd: 0.0002 } });
    expect(await settledHold(gateway.pool, fresh.accountId)).toMatchObject({ posted_pico_usd: COST_PICO_USD });
  });

  it('serves clients of chat too', async () => {
    const fresh = await gateway.newKey();
    const own = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: fresh.secret, maxRetries: 0 });
    answers();
    const { choices } = await own.chat.completions.create({ model, messages: [{ role: 'user', content: 'x' }] });
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'Hello.' } });
    answers();
    let text = '';
    const stream = await own.chat.completions.create({ model, messages: [{ role: 'user', content: 'x' }], stream: true });
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('Hello.');
    expect(await settledHold(gateway.pool, fresh.accountId)).toMatchObject({ posted_pico_usd: COST_PICO_USD });
  });

  it('costs nothing where it fails before it wrote anything, and the client of a stream is told', async () => {
    const fresh = await gateway.newKey();
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.send(events[0] ?? '');
      const failed = { ...response, status: 'failed', output: [], usage: null, error: { code: 'server_error', message: 'It broke.' } };
      await exchange.send(
        `event: response.failed\ndata: ${JSON.stringify({ type: 'response.failed', sequence_number: 1, response: failed })}\n\n`,
      );
      exchange.end();
    });
    const own = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: fresh.secret, maxRetries: 0 });
    await expect(own.responses.stream({ model, input: 'x' }).finalResponse()).rejects.toThrow('It broke.');
    expect(await settledHold(gateway.pool, fresh.accountId)).toMatchObject({ state: 'voided' });
  });
});
