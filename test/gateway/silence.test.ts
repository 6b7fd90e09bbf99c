import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { whileLocked } from '../support/account-lock.ts';
import { chat, ownPromptTokens } from '../support/chat.ts';
import { OpenStream } from '../support/chat-stream.ts';
import { startFakeProvider, type FakeExchange, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { accountOf, settledHold } from '../support/ledger.ts';
import { openLedger } from '../support/holds.ts';
import { decodeStrictly } from '../support/strict-decoder.ts';
import { msat, picoUsd } from '../../src/amount.ts';

let upstream: FakeProvider;
let spare: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  spare = await startFakeProvider();
  gateway = await startGateway({
    env: { FREE_TIER_REQUESTS: '0' },
    deployments: [upstream.deployment(), spare.deployment({ id: 'spare', prices: { input: 2, output: 4 } })],
    // Longer than a hold takes on a busy machine.
    pingAfterMs: 300,
  });
});

beforeEach(async () => {
  key = await gateway.newKey();
  await gateway.fund(key, 1000);
});

afterAll(async () => {
  await gateway.close();
  await Promise.all([upstream.close(), spare.close()]);
});

const PING = ': ping\n';

/** A stream whose provider has said nothing until the gateway had to show that it is alive. */
async function waitInSilence(
  members: object = {},
): Promise<{ exchange: FakeExchange; answer: Response; stream: OpenStream; leave: () => void }> {
  const held = upstream.hold();
  const client = new AbortController();
  const answering = gateway.post('/v1/chat/completions', chat({ stream: true, ...members }), key, {}, client.signal);
  const exchange = await held;
  const answer = await answering;
  const stream = new OpenStream(answer);
  await stream.until(PING + PING);
  return { exchange, answer, stream, leave: () => client.abort() };
}

describe('a provider that keeps a stream waiting', () => {
  it('is named in the head that goes out meanwhile; its answer follows', async () => {
    const { exchange, answer, stream } = await waitInSilence();
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'x-pura-provider': 'fake',
      'x-pura-model': 'pureai/fake',
      'x-pura-cost-kind': 'estimate',
      'x-pura-funding': 'wallet',
    });
    await exchange.answer();
    const { raw, content, done, settled } = await stream.rest();
    expect({ content, done, charged: settled?.charged_msat }).toEqual({ content: 'Hello.', done: true, charged: 20 });
    expect(settled).not.toHaveProperty('provider');
    expect(decodeStrictly(raw).at(-1)).toBe('[DONE]');
  });

  it('and then fails is followed by the next, which the settled figures name', async () => {
    const { exchange, answer, stream } = await waitInSilence({ model: 'auto', routing: { cost_weight: 1 } });
    expect(answer.headers.get('x-pura-provider')).toBe('fake');
    exchange.error(500);
    const { raw, content, done, settled } = await stream.rest();
    expect({ content, done }).toEqual({ content: 'Hello.', done: true });
    expect(settled).toMatchObject({ charged_msat: 40, provider: 'spare', model: 'pureai/spare' });
    decodeStrictly(raw);
    const { requests } = (await (await gateway.get('/api/requests', key)).json()) as { requests: Record<string, unknown>[] };
    expect(requests).toMatchObject([{ provider: 'spare', outcome: 'ok' }]);
  });

  it('and then fails, without a next: an error event, the closing comment with it, and nothing charged', async () => {
    const { exchange, stream } = await waitInSilence();
    exchange.error(500, 'no luck');
    const { raw, done, error, settled } = await stream.rest();
    expect({ done, error }).toEqual({ done: false, error: expect.objectContaining({ code: 'upstream_error', type: 'api_error' }) });
    expect(error?.message).toContain('fake: HTTP 500');
    expect(settled).toMatchObject({ cost_msat: 0, charged_msat: 0, balance_sats: 1000 });
    expect(decodeStrictly(raw)).toHaveLength(1);
    expect(raw).toMatch(/: pura \{[^\n]*\}\ndata: \{"error"[^\n]*\}\n\n$/);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided', posted_msat: 0n });
    expect(await gateway.audit()).toEqual([]);
  });

  it('and then finds fault with the request: its words are an error event', async () => {
    const { exchange, stream } = await waitInSilence();
    exchange.error(400, 'Too long.');
    const { raw, done, error, settled } = await stream.rest();
    expect({ done, message: error?.message, charged: settled?.charged_msat }).toEqual({ done: false, message: 'Too long.', charged: 0 });
    expect(decodeStrictly(raw)).toHaveLength(1);
  });

  it('until the client leaves: it is aborted, and what it did meanwhile is charged', async () => {
    const { exchange, leave } = await waitInSilence();
    leave();
    await exchange.clientGone;
    const hold = await settledHold(gateway.pool, key.accountId);
    expect(hold.posted_msat).toBeGreaterThan(BigInt(ownPromptTokens(chat())));
    expect(hold.posted_msat).toBeLessThanOrEqual(hold.amount_msat);
  });
});

describe('a hold that keeps a stream waiting', () => {
  it('does so under pings, and the answer follows', async () => {
    let stream: OpenStream | undefined;
    await whileLocked(gateway.pool, key, async () => {
      const answer = await gateway.post('/v1/chat/completions', chat({ stream: true }), key);
      expect(answer.headers.get('x-pura-request-id')).toMatch(/^[0-9a-f-]{36}$/);
      stream = new OpenStream(answer);
      await stream.until(PING);
    });
    const { raw, content, done, settled } = (await stream?.rest()) ?? { raw: '' };
    expect({ content, done }).toEqual({ content: 'Hello.', done: true });
    expect(settled).toMatchObject({ charged_msat: 20, provider: 'fake', model: 'pureai/fake' });
    decodeStrictly(raw);
  });

  it('and is refused in the end: an error event, which offers an invoice all the same', async () => {
    const poor = await gateway.newKey();
    const requestsBefore = upstream.requests.length;
    let stream: OpenStream | undefined;
    await whileLocked(gateway.pool, poor, async () => {
      stream = new OpenStream(await gateway.post('/v1/chat/completions', chat({ stream: true }), poor));
      await stream.until(PING);
    });
    const { raw, done, error } = (await stream?.rest()) ?? { raw: '' };
    expect({ done, error }).toMatchObject({
      done: false,
      error: { code: 'free_tier_exceeded', funding: { paymentRequest: expect.any(String) } },
    });
    expect(decodeStrictly(raw)).toHaveLength(1);
    expect(upstream.requests.length).toBe(requestsBefore);
  });
});

describe('a stream whose hold was resolved by somebody else', () => {
  it('does not end as if it were paid for', async () => {
    const { exchange, stream } = await waitInSilence();
    const other = openLedger(gateway.database);
    const { rows } = await gateway.pool.query<{ request_id: string }>(`select request_id from holds where account_id = $1`, [
      key.accountId,
    ]);
    const requestId = rows[0]?.request_id ?? '';
    const nothing = { chargeMsat: msat(0n), costPicoUsd: picoUsd(0n), freeDay: null };
    await other.holds.settle({ kind: 'settlement', requestId, accountId: key.accountId, void: true, ...nothing });
    await exchange.answer();
    await expect(stream.rest()).rejects.toThrow('terminated');
    expect(stream.raw).toContain('Hello');
    expect(stream.raw).not.toContain('[DONE]');
    expect(stream.raw).not.toContain(': pura');
    expect(await accountOf(gateway.pool, key.accountId)).toMatchObject({ posted_msat: 1_000_000n, held_msat: 0n });
    await other.close();
    expect(await gateway.audit()).toEqual([]);
  });
});
