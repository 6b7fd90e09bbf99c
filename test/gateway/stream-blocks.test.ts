import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { whileLocked } from '../support/account-lock.ts';
import { chat } from '../support/chat.ts';
import { OpenStream, parseStream } from '../support/chat-stream.ts';
import { contentEvent, event, finishEvent, startFakeProvider, usageEvent, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { decodeStrictly } from '../support/strict-decoder.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ env: { FREE_TIER_REQUESTS: '0' }, deployments: [upstream.deployment()], pingAfterMs: 50 });
});

beforeEach(async () => {
  key = await gateway.newKey();
  await gateway.fund(key, 1000);
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const DONE = 'data: [DONE]\n\n';
const ask = (members: object = {}, headers: Record<string, string> = {}) =>
  gateway.post('/v1/chat/completions', chat({ stream: true, stream_options: { include_usage: true }, ...members }), key, headers);

/** Everything that would make an event without data of it, between the events of an answer whose events carry ids. */
const NOISE = [': PROCESSING\n\n', 'retry: 3000\n\n', 'id: 9\n\n', 'event: ping\n\n', 'data:\n\n', '\n', ': a\n: b\n\n'].join('');
const numbered = (events: string[]) => events.map((one, id) => `id: ${id}\nevent: message\n: of the event\n${one}${NOISE}`).join('');
const ROLE = event({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] });
const ANSWER = [ROLE, contentEvent('grüße '), contentEvent('🦊')];
const ENDS: [name: string, events: string[], expected: { done: boolean; error: string | undefined }][] = [
  ['whole', [...ANSWER, finishEvent(), usageEvent(), DONE], { done: true, error: undefined }],
  ['without figures', [...ANSWER, finishEvent(), DONE], { done: true, error: undefined }],
  ['without [DONE]', [...ANSWER, finishEvent(), usageEvent()], { done: true, error: undefined }],
  ['broken off', ANSWER, { done: false, error: 'The provider broke off its answer.' }],
  ['failed in an error', [...ANSWER, 'data: {"error":{"message":"m","code":502}}\n\n', DONE], { done: false, error: 'm' }],
  ['failed in an event', [...ANSWER, 'event: error\ndata: {"message":"m"}\n\n', contentEvent('more'), DONE], { done: false, error: 'm' }],
  ['failed as vLLM does', [...ANSWER, 'data: {"object":"error","message":"m","type":"t","code":400}\n\n'], { done: false, error: 'm' }],
  ['failed in words', [...ANSWER, 'data: {"error":"m"}\n\n'], { done: false, error: 'm' }],
  ['failed in a list', [...ANSWER, 'data: [{"error":{"message":"m"}}]\n\n'], { done: false, error: 'm' }],
];

/** The next answer consists of these bytes, each piece a packet of its own. */
function scriptBytes(...pieces: (string | Buffer)[]): void {
  upstream.script(async (exchange) => {
    exchange.startStream();
    for (const piece of pieces) await exchange.send(piece);
    exchange.end();
  });
}

/** What a client must find, whatever its decoder: only events with data, the comment in the last of them, nothing after the end. */
function check(raw: string, expected: { done: boolean; error: string | undefined }): void {
  const events = decodeStrictly(raw);
  const { content, done, error, settled } = parseStream(raw);
  expect({ content, done, error: error?.message }).toEqual({ content: 'grüße 🦊', ...expected });
  expect(settled).toMatchObject({ request_id: expect.any(String), charged_msat: expect.any(Number) });
  const end = expected.done ? String.raw`data: \[DONE\]` : String.raw`data: \{"error":[^\n]*\}`;
  expect(raw).toMatch(new RegExp(String.raw`[\r\n]: pura \{[^\n]*\}\n${end}\n\n$`));
  expect(raw.match(/^: pura /gm)).toHaveLength(1);
  expect(events.filter((data) => data.startsWith('{"error"'))).toHaveLength(expected.done ? 0 : 1);
  const words: unknown = { message: expected.error, type: expect.any(String), code: expect.anything(), param: null };
  expect(error).toEqual(expected.error === undefined ? undefined : words);
}

describe('no event of a stream is without data', () => {
  it.each(ENDS)('%s, whatever its line ends and packets', async (_name, events, expected) => {
    for (const lineEnd of ['\n', '\r\n', '\r']) {
      const bytes = Buffer.from((NOISE + numbered(events)).replaceAll('\n', lineEnd));
      const crumbs = Array.from({ length: Math.ceil(bytes.length / 13) }, (_, index) => bytes.subarray(index * 13, index * 13 + 13));
      for (const packets of [[bytes], crumbs]) {
        scriptBytes(...packets);
        check(await (await ask()).text(), expected);
      }
    }
  });

  it('a whole one split at every byte', async () => {
    const [, events = [], expected] = ENDS[0] ?? [];
    scriptBytes(...[...Buffer.from(NOISE + numbered(events))].map((byte) => Buffer.of(byte)));
    check(await (await ask()).text(), expected ?? { done: true, error: undefined });
  });

  it.each(ENDS)('%s, with pings before the first word, between and inside its events', async (_name, events, expected) => {
    const held = upstream.hold();
    const answer = ask();
    const exchange = await held;
    const stream = new OpenStream(await answer);
    await stream.until(': ping\n');
    exchange.startStream();
    for (const one of ANSWER) {
      const pings = stream.raw.split(': ping\n').length;
      await exchange.send(`: PROCESSING\n\n${one.slice(0, 20)}`);
      while (stream.raw.split(': ping\n').length === pings) await stream.next();
      await exchange.send(one.slice(20));
    }
    await exchange.send(events.slice(ANSWER.length).join(''));
    exchange.end();
    const { raw } = await stream.rest();
    check(raw, expected);
  });

  it('that is repeated for an Idempotency-Key', async () => {
    const [, events = [], expected] = ENDS[0] ?? [];
    const headers = { 'idempotency-key': randomUUID() };
    scriptBytes(NOISE + numbered(events));
    const first = await (await ask({}, headers)).text();
    const again = await ask({}, headers);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    const raw = await again.text();
    check(raw, expected ?? { done: true, error: undefined });
    expect(raw.split(': pura')[0]).toBe(first.replaceAll(': ping\n', '').split(': pura')[0]);
  });

  it('whose settlement waits', async () => {
    const held = upstream.hold();
    const answer = ask();
    const exchange = await held;
    exchange.startStream();
    await exchange.send(ANSWER.join(''));
    const stream = new OpenStream(await answer);
    await stream.until('🦊');
    await whileLocked(gateway.pool, key, async () => {
      await exchange.send(finishEvent() + DONE);
      exchange.end();
      const { raw } = await stream.rest();
      decodeStrictly(raw);
      expect(raw).toMatch(/: pura \{"pending":true,"request_id":"[^"]+"\}\ndata: \[DONE\]\n\n$/);
    });
  });
});
