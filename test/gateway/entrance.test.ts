import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { bodyIntake } from '../../src/http/server/body-intake.ts';
import { chat } from '../support/chat.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { answerOf, halfSent } from '../support/half-sent.ts';
import { until } from '../support/until.ts';

const KEYLESS = '/l402/v1/chat/completions';
const MB = 1024 * 1024;

let upstream: FakeProvider;
const opened: TestGateway[] = [];

const start = async (env: Record<string, string>): Promise<TestGateway> => {
  const started = await startGateway({ deployments: [upstream.deployment()], env });
  opened.push(started);
  return started;
};
beforeAll(async () => {
  upstream = await startFakeProvider();
});
afterAll(async () => {
  await Promise.all(opened.map((each) => each.close()));
  await upstream.close();
});

const large = (bytes: number) =>
  JSON.stringify(chat({ user: 'u', max_tokens: 1, messages: [{ role: 'user', content: 'x'.repeat(bytes) }] }));

describe('a request without a credential', () => {
  it('may be a megabyte long, one with a key as long as ever', async () => {
    const gateway = await start({ TRUSTED_PROXIES: 'loopback' });
    const key = await gateway.newKey();
    expect((await gateway.post(KEYLESS, large(MB - 1_000))).status).toBe(402);
    expect((await gateway.post(KEYLESS, large(MB))).status).toBe(413);
    expect((await gateway.post(KEYLESS, large(2 * MB), key)).status).not.toBe(413);
  });

  it('is refused before its body has come, where its address has sent too many', async () => {
    const gateway = await start({ RATE_LIMIT_RPM: '2', TRUSTED_PROXIES: 'loopback' });
    const from = (address: string) => ({ path: KEYLESS, headers: { 'x-forwarded-for': address } });
    expect((await gateway.post(KEYLESS, '{}', null, { 'x-forwarded-for': '192.0.2.1' })).status).toBe(400);
    expect((await gateway.post(KEYLESS, chat(), null, { 'x-forwarded-for': '192.0.2.1' })).status).toBe(402);
    const limited = await halfSent(gateway.url, from('192.0.2.1:4711'));
    expect(await answerOf(limited)).toMatch(/^HTTP\/1.1 429 [\s\S]*retry-after: [1-9]/i);
    const other = await gateway.post(KEYLESS, chat(), null, { 'x-forwarded-for': '192.0.2.2' });
    expect(other.status).toBe(402);
    limited.destroy();
  });

  it('is refused before its body has come, where its address may have no more invoices, or no more accounts', async () => {
    const gateway = await start({ KEYLESS_INVOICES_PER_IP_PER_HOUR: '1', KEYS_PER_IP_PER_HOUR: '1' });
    expect((await gateway.post(KEYLESS, chat())).status).toBe(402);
    expect((await gateway.post('/api/keys', {})).status).toBe(201);
    const refused = await Promise.all([KEYLESS, '/api/keys'].map((path) => halfSent(gateway.url, { path })));
    const [invoice, key] = await Promise.all(refused.map(answerOf));
    expect(invoice).toMatch(/^HTTP\/1.1 429 [\s\S]*too_many_invoices/);
    expect(key).toMatch(/^HTTP\/1.1 429 [\s\S]*rate_limit_exceeded/);
    for (const socket of refused) socket.destroy();
  });
});

describe('bodies that are half sent', () => {
  it('are bounded for one address, and keep no other request waiting', async () => {
    const gateway = await start({});
    const key = await gateway.newKey();
    const before = bodyIntake.heldBytes;
    const paths = [KEYLESS, '/api/keys', KEYLESS];
    const sockets = await Promise.all(
      Array.from({ length: 60 }, (_, index) => {
        const path = paths[index % paths.length] ?? KEYLESS;
        return halfSent(gateway.url, { path, sentBytes: path === KEYLESS ? MB - 1 : 60_000 });
      }),
    );
    expect(await Promise.race(sockets.map(answerOf))).toMatch(/^HTTP\/1.1 503 [\s\S]*retry-after: 1[\s\S]*overloaded/i);
    expect(bodyIntake.heldBytes - before).toBeLessThanOrEqual(8 * MB);
    const served = await gateway.post('/v1/chat/completions', chat({ max_tokens: 1 }), key);
    expect(served.status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await until(async () => bodyIntake.heldBytes === before);
  });

  it('are bounded for one account, with whichever of its keys', async () => {
    const gateway = await start({});
    const owner = await gateway.newKey();
    const made = (await (await gateway.post('/api/keys', {}, owner)).json()) as { key: string };
    const secrets = [owner.secret, made.key];
    const before = bodyIntake.heldBytes;
    const sockets = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        halfSent(gateway.url, { headers: { authorization: `Bearer ${secrets[index % 2]}` }, sentBytes: 9 * MB }),
      ),
    );
    expect(await Promise.race(sockets.map(answerOf))).toMatch(/^HTTP\/1.1 503 /);
    expect(bodyIntake.heldBytes - before).toBeLessThanOrEqual(64 * MB);
    const other = await gateway.post('/v1/chat/completions', chat({ max_tokens: 1 }), await gateway.newKey());
    expect(other.status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await until(async () => bodyIntake.heldBytes === before);
  });

  it('that broke off or were too large are forgotten', async () => {
    const gateway = await start({});
    const before = bodyIntake.heldBytes;
    const broken = await halfSent(gateway.url, { path: KEYLESS, sentBytes: 100_000 });
    await until(async () => bodyIntake.heldBytes > before);
    broken.destroy();
    await until(async () => bodyIntake.heldBytes === before);

    const endless = await halfSent(gateway.url, { path: KEYLESS, chunked: true, sentBytes: 2 * MB });
    expect(await answerOf(endless)).toMatch(/^HTTP\/1.1 413 [\s\S]*request_too_large/);
    expect(bodyIntake.heldBytes).toBe(before);
    endless.destroy();
  });
});
