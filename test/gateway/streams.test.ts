import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { chat, ownPromptTokens } from '../support/chat.ts';
import { OpenStream, parseStream, readStream } from '../support/chat-stream.ts';
import {
  contentEvent,
  DEFAULT_USAGE,
  event,
  finishEvent,
  startFakeProvider,
  usageEvent,
  type FakeExchange,
  type FakeProvider,
} from '../support/fake-provider.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { settledHold } from '../support/ledger.ts';

let upstream: FakeProvider;
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ deployments: [upstream.deployment()] });
  key = await gateway.newKey();
});

beforeEach(async () => {
  key = await gateway.newKey();
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

/** The next stream consists of these bytes, each piece a packet of its own. */
function scriptBytes(...pieces: (string | Buffer)[]): void {
  upstream.script(async (exchange) => {
    exchange.startStream();
    for (const piece of pieces) await exchange.send(piece);
    exchange.end();
  });
}

const ask = (members: object = {}) => gateway.post('/v1/chat/completions', chat({ stream: true, ...members }), key);
const DONE = 'data: [DONE]\n\n';

describe('the bytes of a stream', () => {
  /** Other fields, odd spacing, both line ends, an emoji, and text that only looks like something of ours. */
  const ODD = [
    'event: message\nid: 7\ndata: {"choices" : [ {"index":0,"delta":{"content":"grüße 🦊"}}],"x":1}\n\n',
    'data:{"choices":[{"index":0,"delta":{"content":"[DONE] \\"usage\\": {}"}}]}\r\n\r\n',
    'data: not json\n\n',
    finishEvent(),
  ].join('');

  it('reach the client untouched, whatever the packets they come in', async () => {
    const bytes = Buffer.from(`: a comment of the provider\n\n${ODD}${usageEvent()}${DONE}`);
    const whole = [bytes];
    const halves = [bytes.subarray(0, bytes.indexOf('🦊') + 2), bytes.subarray(bytes.indexOf('🦊') + 2)];
    const crumbs = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) => bytes.subarray(index * 7, index * 7 + 7));
    for (const pieces of [whole, halves, crumbs]) {
      scriptBytes(...pieces);
      const { raw, settled } = await readStream(await ask());
      expect(raw).toBe(`${ODD}: pura ${JSON.stringify(settled)}\n${DONE}`);
      expect(settled?.cost_msat).toBe(20);
    }
  });

  it('reach the client as they come, without waiting for the next ones', async () => {
    const held = upstream.hold();
    const answer = ask();
    const exchange = await held;
    exchange.startStream();
    await exchange.content('first');
    const stream = new OpenStream(await answer);
    await stream.until('first');
    await exchange.content('second');
    await stream.until('second');
    await exchange.send(finishEvent() + usageEvent() + DONE);
    exchange.end();
    expect(await stream.rest()).toMatchObject({ done: true, settled: { cost_msat: 20 } });
  });

  it('are paused at the provider while the client does not read', async () => {
    const total = 48;
    const megabyte = contentEvent('x'.repeat(1_000_000));
    let sent = 0;
    upstream.script(async (exchange: FakeExchange) => {
      exchange.startStream();
      for (; sent < total; sent++) await exchange.send(megabyte);
      await exchange.send(finishEvent() + usageEvent() + DONE);
      exchange.end();
    });
    const slow = await openUnread();
    await standsStill(() => sent);
    // What the sockets on the way hold depends on the system, and on how busy it is.
    expect(sent).toBeLessThan((total * 3) / 4);

    const received: Buffer[] = [];
    slow.on('data', (part: Buffer) => received.push(part));
    await once(slow, 'end');
    const { chunks, done } = parseStream(Buffer.concat(received).toString());
    expect({ chunks: chunks.length, done }).toEqual({ chunks: total + 1, done: true });
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ posted_pico_usd: 20_000_000n });
  });
});

describe('the usage chunk', () => {
  it('is asked for upstream, and kept from a client that did not', async () => {
    const stream = await readStream(await ask());
    expect((await upstream.received(upstream.requests.length)).body['stream_options']).toEqual({ include_usage: true });
    expect(stream.raw).not.toContain('"usage"');
    expect(stream.settled?.cost_msat).toBe(20);
  });

  it('is asked for on streams only', async () => {
    for (const streamOptions of [undefined, { include_usage: true }]) {
      expect((await ask({ stream: false, stream_options: streamOptions })).status).toBe(200);
      expect((await upstream.received(upstream.requests.length)).body).not.toHaveProperty('stream_options');
    }
  });

  const WHOLE = {
    id: expect.stringMatching(/^chatcmpl-/),
    object: 'chat.completion.chunk',
    model: expect.stringMatching(/./),
    choices: [],
  };

  it.each<[string, object]>([
    ['null for choices', { choices: null }],
    ['no choices', {}],
    ['neither id, object nor model', { id: null, object: undefined, model: '', choices: null }],
  ])('that comes with %s is kept back too, and made whole where the client asked', async (_name, members) => {
    for (const include_usage of [false, true]) {
      scriptBytes(contentEvent('Hi'), finishEvent(), event({ choices: [], ...members, usage: DEFAULT_USAGE }), DONE);
      const { raw, chunks, settled } = await readStream(await ask({ stream_options: { include_usage } }));
      expect(raw.match(/"usage"/g) ?? []).toHaveLength(include_usage ? 1 : 0);
      expect(chunks.every(({ choices }) => Array.isArray(choices))).toBe(true);
      expect(settled?.cost_msat).toBe(20);
      expect(chunks.at(-1)).toMatchObject(include_usage ? WHOLE : { choices: [{ finish_reason: 'stop' }] });
    }
  });

  it('comes with the cost, before the settled figures and [DONE], where the client asked', async () => {
    const stream = await readStream(await ask({ stream_options: { include_usage: true } }));
    expect(stream.chunks.at(-1)).toMatchObject({
      choices: [],
      usage: {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        input_cost_usd: 0.00001,
        output_cost_usd: 0.00001,
        cache_input_cost_usd: 0,
        total_cost_usd: 0.00002,
        total_cost_msat: 20,
        latency_ms: expect.any(Number),
        ttft_ms: expect.any(Number),
      },
    });
    expect(stream.raw).toMatch(/"usage":\{[^\n]*\}\n\n: pura \{[^\n]*\}\ndata: \[DONE\]\n\n$/);
  });

  const usage = { prompt_tokens: 100, completion_tokens: 1, total_tokens: 101 };
  const riding = event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage });

  it.each([false, true])(
    'that rides on a chunk with choices goes out there, and again by itself where asked (%s)',
    async (include_usage) => {
      scriptBytes(contentEvent('Hi'), riding, DONE);
      const stream = await readStream(await ask({ stream_options: { include_usage } }));
      expect(stream.raw).toContain(riding);
      expect(stream.settled?.cost_msat).toBe(102);
      expect(stream.chunks.filter(({ choices }) => choices?.length === 0)).toHaveLength(include_usage ? 1 : 0);
      expect(stream.done).toBe(true);
    },
  );

  it('that comes more than once: the last valid one counts', async () => {
    scriptBytes(contentEvent('Hi'), usageEvent(usage), finishEvent(), usageEvent(), usageEvent({ prompt_tokens: -1 }), DONE);
    expect((await readStream(await ask())).settled?.cost_msat).toBe(20);
  });

  it('is made by the gateway where the provider sends none and the client asked', async () => {
    scriptBytes(contentEvent('four'), finishEvent(), DONE);
    const { chunks, settled } = await readStream(await ask({ stream_options: { include_usage: true } }));
    expect(chunks.at(-1)).toMatchObject({ object: 'chat.completion.chunk', choices: [], usage: { completion_tokens: 1 } });
    expect(settled?.cost_msat).toBe(ownPromptTokens(chat()) + 2);
  });
});

describe('the end of a stream', () => {
  it('without [DONE], but with a finish, is an end: the client gets its [DONE]', async () => {
    scriptBytes(contentEvent('Hi'), finishEvent(), usageEvent());
    expect(await readStream(await ask())).toMatchObject({ content: 'Hi', done: true, error: undefined, settled: { cost_msat: 20 } });
  });

  it('without a blank line after the last event is an end all the same', async () => {
    scriptBytes(contentEvent('Hi'), finishEvent(), usageEvent().trimEnd());
    expect(await readStream(await ask())).toMatchObject({ done: true, settled: { cost_msat: 20 } });
  });

  it('is followed by nothing that the provider adds', async () => {
    scriptBytes(contentEvent('Hi') + finishEvent() + usageEvent() + DONE + contentEvent('more') + DONE);
    const { raw } = await readStream(await ask());
    expect(raw).not.toContain('more');
    expect(raw.match(/\[DONE\]/g)).toHaveLength(1);
  });
});

/** A stream request whose answer nobody reads. */
async function openUnread(): Promise<IncomingMessage> {
  const sending = httpRequest(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key.secret}`, 'content-type': 'application/json' },
  });
  sending.end(JSON.stringify(chat({ stream: true })));
  const [answer] = (await once(sending, 'response')) as [IncomingMessage];
  return answer;
}

/** Resolves once a count that had begun to grow grows no more. */
async function standsStill(count: () => number): Promise<void> {
  for (let last = 0, same = 0; last === 0 || same < 20;) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    same = count() === last ? same + 1 : 0;
    last = count();
  }
}
