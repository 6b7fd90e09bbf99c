import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WireName } from '../../src/wires/wire.ts';
import { OpenStream } from '../support/chat-stream.ts';
import { decode } from '../support/decoded-answer.ts';
import type { FakeExchange } from '../support/fake-provider.ts';
import { replay, startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { jsonOfEvents, wordOf } from '../support/json-of-events.ts';
import { settledHold } from '../support/ledger.ts';
import { GENERATING, OUTPUT_CAP, PATHS, SURFACES, surfaceRequest, type SurfaceName } from '../support/surface-requests.ts';
import { PROVIDERS, transcriptBytes, transcriptsOf, wireOf } from '../support/transcripts.ts';

/** What goes wrong at a provider of any wire, as clients of every surface see it, and what they pay then. */

const recorded = PROVIDERS.flatMap(transcriptsOf).filter((entry) => GENERATING.includes(wireOf(entry)));
const refusals = recorded
  .filter(({ status }) => status !== 200)
  .flatMap((entry) =>
    SURFACES.flatMap((surface) => [false, true].map((stream) => ({ ...entry, surface, stream, upstreamWire: wireOf(entry) }))),
  );
const broken = recorded
  .filter(({ file }) => file.includes('error-in-stream'))
  .flatMap((entry) => SURFACES.map((surface) => ({ ...entry, surface, upstreamWire: wireOf(entry) })));

/** A stream of some length in each wire. */
const LONG: Readonly<Partial<Record<WireName, string>>> = {
  'openai-chat': 'openai-chat/text-long-stream.sse',
  'openai-responses': 'openai-responses/id-rotation-stream.sse',
  'anthropic-messages': 'anthropic/schema-stream.sse',
  'gemini-generate': 'gemini/g3-text-signature-stream.sse',
};
const pairs = GENERATING.flatMap((upstreamWire) =>
  SURFACES.map((surface) => ({ upstreamWire, surface, file: LONG[upstreamWire] as string })),
);

/** Whose request is at fault by the provider's word: all 400s but that of a wrong key. */
const isRequestsFault = ({ status, file }: { status: number; file: string }): boolean => status === 400 && !file.includes('-key');

let upstream: FakeUpstream;
let gateway: TestGateway;
let asked = 0;

interface Asking {
  surface: SurfaceName;
  upstreamWire: WireName;
  stream?: boolean;
}

/** Asks once, with a key of an account of its own. */
async function ask(script: (exchange: FakeExchange) => void | Promise<void>, { surface, upstreamWire, stream = true }: Asking) {
  const id = `failure-${asked++}`;
  upstream.answer(id, script);
  const key: TestKey = await gateway.newKey();
  const body = surfaceRequest(surface, { model: `pureai/${upstreamWire}`, prompt: 'Do it.', stream });
  return { key, answer: await gateway.post(PATHS[surface], body, key, { 'x-client-request-id': id }) };
}

const AROUND_MESSAGES_ERROR = { type: 'error', request_id: expect.stringMatching(/./) };

/** An error in the words of a surface: its own members around it, a type and a message in it. */
function errorIn(surface: SurfaceName, body: unknown): { message: string; code: string } {
  const { error, ...around } = body as { error: { message: string; code: string } };
  expect(around).toEqual(surface === 'anthropic-messages' ? AROUND_MESSAGES_ERROR : {});
  expect(error).toMatchObject({ message: expect.stringMatching(/./), type: expect.stringMatching(/./) });
  return error;
}

(recorded.length > 0 ? describe : describe.skip)('a provider that fails', () => {
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    const deployments = GENERATING.map((wire) => upstream.deployment(wire, { maxOutputTokens: OUTPUT_CAP }));
    gateway = await startGateway({ deployments, env: { FREE_TIER_MAX_COST_USD: '1' } });
  });

  afterAll(async () => {
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
    await upstream.close();
  });

  it.each(refusals)('$file on $surface, stream: $stream: before the first byte, for nothing', async (one) => {
    const body = transcriptBytes(one.file);
    const { key, answer } = await ask(replay({ body, contentType: one.contentType, status: one.status }), one);
    const said: unknown = await answer.json();
    expect(answer.status).toBe(isRequestsFault(one) ? one.status : 503);
    const { message, code } = errorIn(one.surface, said);
    const own = /"message"\s*:\s*"([^"\\]{12,60})/.exec(body.toString())?.[1] ?? '';
    expect(message).toContain(isRequestsFault(one) ? own : 'No provider could answer');
    expect(isRequestsFault(one) || code === 'upstream_error').toBe(true);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: 'voided' });
  });

  it.each(broken)('$file on $surface: an error in the stream', async (one) => {
    const body = transcriptBytes(one.file);
    const { text, reasoning, calls } = decode(one.upstreamWire, body, true);
    const delivered = text + reasoning !== '' || calls.length > 0;
    const { key, answer } = await ask(replay({ body, contentType: one.contentType }), one);
    const raw = await answer.text();
    expect(answer.status).toBe(delivered ? 200 : 503);
    const got = delivered
      ? { failed: decode(one.surface, raw, true).failed, text: textOfDeltas(one.surface, raw) }
      : { failed: true, text };
    expect(got).toEqual({ failed: true, text });
    expect(raw).not.toMatch(/\[DONE\]|message_stop|response\.completed/);
    expect(await settledHold(gateway.pool, key.accountId)).toMatchObject({ state: delivered ? 'posted' : 'voided' });
  });

  it.each(pairs)('$upstreamWire to $surface: a connection that breaks', async (pair) => {
    const body = transcriptBytes(pair.file);
    const { key, answer } = await ask(replay({ body, contentType: 'text/event-stream', cutAt: Math.ceil(body.length * 0.7) }), pair);
    const raw = await answer.text();
    const whole = decode(pair.upstreamWire, body, true);
    const got = decode(pair.surface, raw, true);
    expect(got).toMatchObject({ failed: true, finish: null });
    expect(whole.text.startsWith(textOfDeltas(pair.surface, raw))).toBe(true);
    expect(raw).not.toMatch(/\[DONE\]|message_stop|response\.completed/);
    const hold = await settledHold(gateway.pool, key.accountId);
    expect(hold.state).toBe('posted');
    expect(hold.posted_pico_usd).toBeGreaterThan(0n);
    expect(hold.posted_pico_usd).toBeLessThanOrEqual(hold.amount_pico_usd);
  });

  it.each(pairs)('$upstreamWire to $surface: a client that leaves in the middle', async (pair) => {
    const body = transcriptBytes(pair.file);
    let gone: Promise<void> | undefined;
    const half = async (exchange: FakeExchange) => {
      gone = exchange.clientGone;
      exchange.startStream();
      await exchange.send(body.subarray(0, Math.ceil(body.length * 0.7)));
    };
    const { key, answer } = await ask(half, pair);
    const stream = new OpenStream(answer);
    await stream.next();
    await stream.leave();
    await gone;
    const hold = await settledHold(gateway.pool, key.accountId);
    expect(hold.state).toBe('posted');
    expect(hold.posted_pico_usd).toBeGreaterThan(0n);
    expect(hold.posted_pico_usd).toBeLessThanOrEqual(hold.amount_pico_usd);
  });
});

/** The text of the pieces of a stream, whole or not. */
function textOfDeltas(surface: SurfaceName, raw: string): string {
  if (surface !== 'openai-responses') return decode(surface, raw, true).text;
  const pieces = jsonOfEvents(raw).filter((event) => wordOf(event['type']) === 'response.output_text.delta');
  return pieces.map((event) => wordOf(event['delta'])).join('');
}
