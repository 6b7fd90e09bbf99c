import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { Client } from 'undici';
import { chat, ownPromptTokens } from '../support/chat.ts';
import { OpenStream, readStream } from '../support/chat-stream.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { until } from '../support/until.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { holdsOf, settledHold } from '../support/ledger.ts';

let database: TestDatabase;
let upstream: FakeProvider;
let gateway: TestGateway;

beforeAll(async () => {
  database = await createTestDatabase();
  upstream = await startFakeProvider();
});

afterEach(async () => {
  expect(await gateway.audit()).toEqual([]);
});

afterAll(async () => {
  await upstream.close();
  await database.drop();
});

async function start(graceSeconds: string): Promise<TestGateway> {
  gateway = await startGateway({ database, deployments: [upstream.deployment()], env: { SHUTDOWN_GRACE_SECONDS: graceSeconds } });
  return gateway;
}

const PATH = '/v1/chat/completions';

/** One connection that stays open for as long as the gateway wants. */
function connect(url: string, key: TestKey) {
  const client = new Client(url);
  let began = (): void => {};
  const begun = new Promise<void>((resolve) => (began = resolve));
  const disconnected = once(client, 'disconnect');
  return {
    begun,
    disconnected,
    close: () => client.close(),
    async ask(members: object = {}) {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${key.secret}` };
      const answer = await client.request({ method: 'POST', path: PATH, headers, body: JSON.stringify(chat(members)) });
      began();
      await answer.body.text();
      return { status: answer.statusCode, headers: answer.headers };
    },
  };
}

describe('a gateway that stops', () => {
  it('lets open streams and requests finish within the grace, and takes no new ones', async () => {
    const { newKey, post, close } = await start('30');
    const key = await newKey();
    const [heldStream, heldJson] = [upstream.hold(), upstream.hold()];
    const streaming = post(PATH, chat({ stream: true }), key);
    const stream = await heldStream;
    stream.startStream();
    await stream.content('Hello');
    const open = new OpenStream(await streaming);
    const answering = post(PATH, chat(), key);
    const json = await heldJson;

    const closed = close();
    await expect(post(PATH, chat(), key)).rejects.toThrow('fetch failed');
    await stream.content(' and goodbye');
    await stream.send('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n');
    stream.end();
    json.json(completion());
    await closed;

    expect(await open.rest()).toMatchObject({ content: 'Hello and goodbye', done: true, error: undefined });
    expect((await answering).status).toBe(200);
    expect((await holdsOf(database.pool, key.accountId)).map(({ state }) => state)).toEqual(['posted', 'posted']);
  });

  it('serves what still comes on open connections while it lingers, and tells that they end', async () => {
    const { newKey, server, url } = await start('30');
    const client = connect(url, await newKey());
    expect((await client.ask()).headers.connection).toBe('keep-alive');

    // It waits no longer than for the last connection.
    const closed = server.close({ lingerMs: 3_600_000 });
    const stranger = await newKey();
    // Whoever came in the listener's last moment is still served.
    await until(() =>
      connect(url, stranger)
        .ask()
        .then(
          () => false,
          (error: Error) => error.message.includes('ECONNREFUSED'),
        ),
    );
    expect(await client.ask()).toMatchObject({ status: 200, headers: { connection: 'close' } });
    await closed;
    await client.close();
  });

  it('closes the connection of a stream that was begun before, so that nothing more comes on it', async () => {
    const { newKey, server, url } = await start('30');
    const key = await newKey();
    const [heldStream, heldJson] = [upstream.hold(), upstream.hold()];
    const [client, other] = [connect(url, key), connect(url, key)];
    const streaming = client.ask({ stream: true });
    const stream = await heldStream;
    stream.startStream();
    await stream.content('Hello');
    await client.begun;
    const answering = other.ask();
    const json = await heldJson;

    const closed = server.close();
    await stream.send('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n');
    stream.end();
    expect((await streaming).status).toBe(200);
    // While another one keeps the gateway from closing all of them.
    await client.disconnected;
    json.json(completion());
    expect(await answering).toMatchObject({ status: 200, headers: { connection: 'close' } });
    await closed;
    await Promise.all([client.close(), other.close()]);
  });

  it('refuses what still comes in, telling under which id', async () => {
    const { newKey, post, server, close } = await start('30');
    const key = await newKey();
    await server.gateway.requests.close();
    const answer = await post(PATH, chat(), key);
    expect(answer.status).toBe(503);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      connection: 'close',
      'retry-after': '1',
      'x-pura-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
      'x-request-id': answer.headers.get('x-pura-request-id'),
    });
    expect(await answer.json()).toMatchObject({ error: { code: 'overloaded' } });
    await close();
  });

  it('ends them past the grace: what was delivered is charged, the rest is released', async () => {
    const { newKey, post, close } = await start('0');
    const key = await newKey();
    const held = upstream.hold();
    const streaming = post(PATH, chat({ stream: true }), key);
    const exchange = await held;
    exchange.startStream();
    await exchange.content('twelve bytes');
    const answer = await streaming;
    await close();
    await exchange.clientGone;

    const { content, done, error, settled } = await readStream(answer);
    expect({ content, done, code: error?.code }).toEqual({ content: 'twelve bytes', done: false, code: 'upstream_error' });
    const costMsat = ownPromptTokens(chat()) + 6;
    expect(settled?.cost_msat).toBe(costMsat);
    expect(await settledHold(database.pool, key.accountId)).toMatchObject({
      state: 'posted',
      posted_pico_usd: BigInt(costMsat) * 1_000_000n,
    });
  });

  it('refuses past the grace what had no byte yet, and charges nothing for it', async () => {
    const { newKey, post, close } = await start('0');
    const key = await newKey();
    const held = [upstream.hold(), upstream.hold()];
    const answers = [post(PATH, chat(), key), post(PATH, chat({ stream: true }), key)];
    await Promise.all(held);
    await close();

    for (const answer of answers) expect([(await answer).status, (await answer).headers.get('retry-after')]).toEqual([503, '1']);
    expect((await holdsOf(database.pool, key.accountId)).map(({ state }) => state)).toEqual(['voided', 'voided']);
  });

  it('ends although a client reads nothing', async () => {
    const { newKey, post, close } = await start('0');
    const key = await newKey();
    upstream.script(async (exchange) => {
      exchange.startStream();
      for (let sent = 0; sent < 40; sent++) await exchange.content('x'.repeat(500_000));
    });
    const answer = await post(PATH, chat({ stream: true }), key);
    await close();

    expect(await settledHold(database.pool, key.accountId)).toMatchObject({ state: 'posted' });
    await answer.body?.cancel().catch(() => {});
  });
});

describe('a stream that takes longer than it may', () => {
  it('is ended with an error, and charged what was delivered', async () => {
    gateway = await startGateway({ database, deployments: [upstream.deployment()], env: { STREAM_MAX_SECONDS: '1' } });
    const key = await gateway.newKey();
    const held = upstream.hold();
    const streaming = gateway.post(PATH, chat({ stream: true }), key);
    const exchange = await held;
    exchange.startStream();
    await exchange.content('twelve bytes');
    const { done, error, settled } = await readStream(await streaming);

    await exchange.clientGone;
    expect({ done, code: error?.code, cost: settled?.cost_msat }).toEqual({
      done: false,
      code: 'upstream_error',
      cost: ownPromptTokens(chat()) + 6,
    });
    await gateway.close();
  });
});
