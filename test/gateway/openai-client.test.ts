import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, PermissionDeniedError, RateLimitError } from 'openai';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { holdsOf, settledHold } from '../support/ledger.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ env: { DEMO_PROVIDER: 'true' }, deployments: [upstream.deployment()] });
  key = await gateway.newKey();
  client = clientOf(key);
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

/** As anybody has it: nothing but the address and the key are changed. */
const clientOf = ({ secret }: Pick<TestKey, 'secret'>) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: secret });
const messages = [{ role: 'user' as const, content: 'Say hello.' }];
const weather = {
  type: 'function' as const,
  function: {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city', 'days'] },
  },
};

describe.each(['demo-cheap', 'pureai/fake'])('the openai client on %s', (model) => {
  it('gets a JSON answer', async () => {
    const { choices, usage } = await client.chat.completions.create({ model, messages });
    expect(choices[0]?.message.content).toMatch(/hello/i);
    expect(usage).toMatchObject({ total_tokens: expect.any(Number), total_cost_usd: expect.any(Number) });
  });

  it('gets the headers of an answer', async () => {
    const { response, request_id } = await client.chat.completions.create({ model, messages }).withResponse();
    expect(response.headers.get('x-pura-model')).toBe(model);
    expect(request_id).toBe(response.headers.get('x-pura-request-id'));
  });

  it('gets a stream, without the usage that it did not ask for', async () => {
    let text = '';
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
      text += chunk.choices[0]?.delta.content ?? '';
      expect(chunk.usage ?? null).toBeNull();
    }
    expect(text).toMatch(/hello/i);
  });

  it('gets a stream with usage at its end', async () => {
    const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
    const chunks = await all(stream);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_cost_msat: expect.any(Number) } });
    expect(chunks.filter(({ usage }) => usage)).toHaveLength(1);
  });
});

describe('the openai client', () => {
  it('gets a stream through its helper', async () => {
    const stream = client.chat.completions.stream({ model: 'demo-cheap', messages });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.content).toMatch(/hello/i);
    expect(final.choices[0]?.finish_reason).toBe('stop');
  });

  it('calls tools', async () => {
    const options = { model: 'demo-mid', messages, tools: [weather], tool_choice: 'required' as const };
    const { choices } = await client.chat.completions.create(options);
    const call = choices[0]?.message.tool_calls?.[0];
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(call?.type === 'function' && JSON.parse(call.function.arguments)).toEqual({ city: 'demo', days: 1 });

    const streamed = await client.chat.completions.stream(options).finalChatCompletion();
    expect(streamed.choices[0]?.message.tool_calls).toMatchObject([
      { function: { name: 'weather', arguments: '{"city":"demo","days":1}' } },
    ]);
  });

  it('lets the gateway choose the model', async () => {
    const { data, response } = await client.chat.completions.create({ model: 'auto', messages }).withResponse();
    expect(data.choices).toHaveLength(1);
    expect(response.headers.get('x-pura-model')).toBeTruthy();
  });

  it('lists the models', async () => {
    const ids = (await all(client.models.list())).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(['demo-cheap', 'demo-premium', 'pureai/fake']));
    expect(await client.models.retrieve('demo-cheap')).toMatchObject({ id: 'demo-cheap', object: 'model' });
  });

  it('leaves a stream that it has read enough of, and pays what it got', async () => {
    const fresh = await gateway.newKey();
    const held = upstream.hold();
    const opening = clientOf(fresh).chat.completions.create({ model: 'pureai/fake', messages, stream: true });
    const exchange = await held;
    exchange.startStream();
    await exchange.content('enough');
    for await (const chunk of await opening) if (chunk.choices[0]?.delta.content === 'enough') break;
    await exchange.clientGone;
    expect(await settledHold(gateway.pool, fresh.accountId)).toMatchObject({ state: 'posted' });
  });

  it('throws the error that belongs to the status', async () => {
    const cases: [Promise<unknown>, unknown, number, string][] = [
      [
        clientOf({ secret: 'pura_wrong' }).chat.completions.create({ model: 'demo-cheap', messages }),
        AuthenticationError,
        401,
        'invalid_api_key',
      ],
      [client.chat.completions.create({ model: 'gpt-99', messages }), NotFoundError, 404, 'model_not_found'],
      [client.chat.completions.create({ model: 'demo-cheap', messages, max_tokens: -1 }), BadRequestError, 400, 'invalid_request'],
      [
        clientOf(await gateway.newKey({ allowedModels: ['x'] })).chat.completions.create({ model: 'demo-cheap', messages }),
        PermissionDeniedError,
        403,
        'model_not_allowed',
      ],
    ];
    for (const [call, type, status, code] of cases) {
      const error = await call.then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(type);
      expect(error).toMatchObject({ status, code, requestID: expect.any(String) });
    }
  });

  it('throws RateLimitError, with the time to wait', async () => {
    const { secret } = await gateway.newKey({ rateLimitRpm: 1 });
    const limited = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: secret, maxRetries: 0 });
    await limited.chat.completions.create({ model: 'demo-cheap', messages });
    const error = await limited.chat.completions.create({ model: 'demo-cheap', messages }).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(RateLimitError);
    expect(Number((error as RateLimitError).headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  });

  it('throws a 402 that carries the invoice, and does not repeat the request by itself', async () => {
    const poor = await gateway.newKey({ rateLimitRpm: 100 });
    await gateway.pool.query('update accounts set free_limit = 0 where id = $1', [poor.accountId]);
    const error = await clientOf(poor)
      .chat.completions.create({ model: 'demo-cheap', messages })
      .then(
        () => null,
        (thrown: unknown) => thrown,
      );
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({
      status: 402,
      code: 'free_tier_exceeded',
      type: 'insufficient_funds',
      error: { funding: { paymentRequest: expect.stringMatching(/^lnbcrt/) } },
    });

    // A 402 counts as a request: this one is the second.
    const next = await gateway.post('/v1/chat/completions', { model: 'demo-cheap', messages }, poor);
    expect(next.headers.get('x-pura-ratelimit-remaining-requests')).toBe('98');
  });

  it('repeats a request that no provider could answer, and pays once', async () => {
    const fresh = await gateway.newKey();
    upstream.script((exchange) => exchange.error(500));
    const { choices } = await clientOf(fresh).chat.completions.create({ model: 'pureai/fake', messages });
    expect(choices).toHaveLength(1);
    expect((await holdsOf(gateway.pool, fresh.accountId)).map(({ state }) => state)).toEqual(['voided', 'posted']);
    expect(await gateway.audit()).toEqual([]);
  });

  it('throws where a stream breaks off', async () => {
    upstream.script(async (exchange) => {
      exchange.startStream();
      await exchange.content('some');
      exchange.reset();
    });
    const reading = (async () => all(await client.chat.completions.create({ model: 'pureai/fake', messages, stream: true })))();
    await expect(reading).rejects.toThrow('The provider broke off its answer.');
  });
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const gathered: T[] = [];
  for await (const item of items) gathered.push(item);
  return gathered;
}
