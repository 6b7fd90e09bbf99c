import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WireName } from '../../src/wires/wire.ts';
import { decode } from '../support/decoded-answer.ts';
import { replay, startFakeUpstream, type FakeUpstream, type Replay } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { settledHold, type HoldRow } from '../support/ledger.ts';
import { plainAnswer } from '../support/plain-answers.ts';
import { GENERATING, OUTPUT_CAP, PATHS, SURFACES, surfaceRequest, type SurfaceName } from '../support/surface-requests.ts';

/** Odd and broken answers in every wire, on every surface: what is right all the same is served at its price, what is not costs nothing. */

type Change = (plain: { body: Buffer; contentType: string }) => Replay;

const JSON_TYPE = 'application/json';
const SSE_TYPE = 'text/event-stream';
const encoded =
  (coding: string, encode: (body: Buffer) => Buffer): Change =>
  ({ body, contentType }) => ({ body: encode(body), contentType, headers: { 'content-encoding': coding } });
const typed =
  (contentType: string | undefined): Change =>
  ({ body }) => ({ body, contentType });
const instead =
  (text: string, contentType?: string): Change =>
  (plain) => ({ body: Buffer.from(text), contentType: contentType ?? plain.contentType });

/** Odd, but whole. */
const GOOD: readonly (readonly [name: string, change: Change])[] = [
  ['as it should be', (plain) => plain],
  ['byte by byte', (plain) => ({ ...plain, pieceBytes: 1 })],
  ['in gzip', encoded('gzip', (body) => gzipSync(body))],
  ['in brotli', encoded('br', (body) => brotliCompressSync(body))],
  ['in zstd', encoded('zstd', (body) => zstdCompressSync(body))],
  ['in deflate', encoded('deflate', (body) => deflateSync(body))],
  ['without a content type', typed(undefined)],
  ['as bytes of no kind', typed('application/octet-stream')],
  ['as plain text', typed('text/plain; charset=utf-8')],
  ['after a byte order mark', ({ body, contentType }) => ({ contentType, body: Buffer.concat([Buffer.from('\ufeff'), body]) })],
];

/** Odd, but whole, and of streams alone. */
const GOOD_STREAMS: readonly (readonly [name: string, change: Change])[] = [
  [
    'after comments of its own',
    ({ body, contentType }) => ({ contentType, body: Buffer.concat([Buffer.from(': hello\n\n: processing\n\n'), body]) }),
  ],
  ['with CRLF', ({ body, contentType }) => ({ contentType, body: Buffer.from(body.toString().replaceAll('\n', '\r\n')) })],
  [
    'after an event that is no JSON',
    ({ body, contentType }) => ({ contentType, body: Buffer.concat([Buffer.from('data: not json\n\n'), body]) }),
  ],
];

/** No answers. */
const BAD: readonly (readonly [name: string, change: Change])[] = [
  ['nothing at all', instead('')],
  ['an empty object', instead('{}', JSON_TYPE)],
  ['half an object', ({ body, contentType }) => ({ contentType, body: body.subarray(0, 20) })],
  ['text', instead('Service temporarily at lunch.')],
  ['a page under a type of its own', instead('<html><body>Hello.</body></html>', 'text/html')],
  ['a list', instead('[1,2,3]')],
  ['in a coding that nobody knows', encoded('x-secret', (body) => body)],
  ['in a coding that it is not in', encoded('gzip', (body) => body)],
  ['events without data', instead(': ping\n\nevent: a\n\n', SSE_TYPE)],
  ['events that are no JSON', instead('data: not json\n\ndata: {"a"\n\n', SSE_TYPE)],
  [
    'one line without end',
    () => ({ body: Buffer.concat([Buffer.from('data: {"x":"'), Buffer.alloc(20_000_000, 'x')]), contentType: SSE_TYPE }),
  ],
];

/** Figures that are none: in place of the prompt's and the output's. */
const FIGURES: readonly string[] = ['-5', '-0.5', '1e30', '999999999999', '"many"', 'null', 'true', '{"a":1}', '[7]', '0'];
const FIGURE =
  /("(?:prompt_tokens|completion_tokens|input_tokens|output_tokens|promptTokenCount|candidatesTokenCount|total_tokens|totalTokenCount)":)\d+/g;

const pairs = GENERATING.flatMap((upstreamWire) =>
  SURFACES.flatMap((surface) => [false, true].map((stream) => ({ upstreamWire, surface, stream }))),
);
type Pair = (typeof pairs)[number];
const named = ({ upstreamWire, surface, stream }: Pair) => `${upstreamWire} to ${surface}, ${stream ? 'streamed' : 'JSON'}`;
const cases = <T>(table: readonly (readonly [string, T])[], of = pairs) =>
  of.flatMap((pair) => table.map(([name, what]) => ({ ...pair, what, name: `${named(pair)}: ${name}` })));

let upstream: FakeUpstream;
let gateway: TestGateway;
let asked = 0;

async function ask({ surface, upstreamWire, stream }: { surface: SurfaceName; upstreamWire: WireName; stream: boolean }, change: Change) {
  const id = `fault-${asked++}`;
  upstream.answer(id, replay(change(plainAnswer(upstreamWire, stream, {}))));
  const key = await gateway.newKey();
  const request = surfaceRequest(surface, { model: `pureai/${upstreamWire}`, prompt: 'Do it.', stream });
  const answer = await gateway.post(PATHS[surface], request, key, { 'x-client-request-id': id });
  const body = await answer.text();
  return { status: answer.status, body, hold: await settledHold(gateway.pool, key.accountId) };
}

/** At $1 and $2 a million tokens: 10 of the prompt and 5 of the answer. */
const PLAIN_PRICE = { state: 'posted', posted_pico_usd: 20_000_000n };
const UNPAID: Partial<HoldRow> = { state: 'voided', posted_pico_usd: 0n };

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

describe('an odd answer that is whole', () => {
  it.each([
    ...cases(GOOD),
    ...cases(
      GOOD_STREAMS,
      pairs.filter(({ stream }) => stream),
    ),
  ])('$name', async (one) => {
    const { status, body, hold } = await ask(one, one.what);
    expect({ status, body: status === 200 ? '' : body }).toEqual({ status: 200, body: '' });
    expect(decode(one.surface, body, one.stream)).toMatchObject({ text: 'Hello.', finish: 'stop', failed: false });
    expect(hold).toMatchObject(PLAIN_PRICE);
  });
});

describe('what is no answer', () => {
  it.each(cases(BAD))('$name', async (one) => {
    const { status, body, hold } = await ask(one, one.what);
    expect({ status, body }).toEqual({ status: 503, body: expect.stringContaining('upstream_error') });
    expect(hold).toMatchObject(UNPAID);
  });
});

describe('figures that are none', () => {
  const figures = FIGURES.map((figure): [string, string] => [figure, figure]);
  it.each(cases(figures))('$name: our own count is paid, within the hold', async (one) => {
    const { status, body, hold } = await ask(one, ({ body: plain, contentType }) => ({
      body: Buffer.from(plain.toString().replaceAll(FIGURE, `$1${one.what}`)),
      contentType,
    }));
    expect(status).toBe(200);
    expect(decode(one.surface, body, one.stream)).toMatchObject({ text: 'Hello.', finish: 'stop', failed: false });
    expect(hold.state).toBe('posted');
    expect(hold.posted_pico_usd).toBeGreaterThan(0n);
    expect(hold.posted_pico_usd).toBeLessThan(500_000_000n);
    expect(hold.posted_pico_usd).toBeLessThanOrEqual(hold.amount_pico_usd);
  });
});
