import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WireName } from '../../src/wires/wire.ts';
import { decode } from '../support/decoded-answer.ts';
import { replay, startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { jsonOfEvents, wordOf } from '../support/json-of-events.ts';
import { settledHold } from '../support/ledger.ts';
import { transcriptBytes, transcriptsOf, wireOf, type Transcript } from '../support/transcripts.ts';

/** Recorded answers on the two surfaces that hold no conversation: legacy completions and embeddings. */

/** USD a million tokens, and the same in pico-dollars a token. */
const PRICES = { input: 1.5, output: 7 };
const [INPUT, OUTPUT] = [1_500_000n, 7_000_000n];
const WIRES: readonly WireName[] = [
  'openai-completions',
  'openai-embeddings',
  'openai-chat',
  'anthropic-messages',
  'gemini-generate',
  'gemini-embed',
];

const own = ['openai-completions', 'openai-embeddings'].flatMap(transcriptsOf).filter(({ status }) => status === 200);
/** Answers of chatting models that are text alone, for clients that only know completions. */
const TEXTS = [
  'openai-chat/text.json',
  'openai-chat/text-long-stream.sse',
  'anthropic/text.json',
  'anthropic/text-stream.sse',
  'gemini/text-stream.sse',
];
const chatted = ['openai-chat', 'anthropic', 'gemini'].flatMap(transcriptsOf).filter(({ file }) => TEXTS.includes(file));

let upstream: FakeUpstream;
let gateway: TestGateway;
let asked = 0;

/** Asks for a recording with a key of an account of its own. */
async function ask(entry: Transcript, path: string, wire: WireName, request: object) {
  const id = `text-${asked++}`;
  upstream.answer(id, replay({ body: transcriptBytes(entry.file), contentType: entry.contentType }));
  const key: TestKey = await gateway.newKey();
  const body = { model: `pureai/${wire}`, ...request };
  const answer = await gateway.post(path, body, key, { 'x-client-request-id': id });
  const raw = await answer.text();
  expect({ status: answer.status, raw: answer.status === 200 ? '' : raw }).toEqual({ status: 200, raw: '' });
  return { raw, hold: await settledHold(gateway.pool, key.accountId) };
}

function requestOf({ file, request }: Transcript): object {
  const stream = file.endsWith('.sse') && { stream: true, stream_options: { include_usage: true } };
  const { model: _model, ...said } = request
    ? (JSON.parse(transcriptBytes(request).toString()) as Record<string, unknown>)
    : { prompt: 'Do it.', model: '' };
  return { ...said, ...stream };
}

function priceOf({ usage }: Transcript): object {
  return usage ? { posted_pico_usd: BigInt(usage.uncachedInput) * INPUT + BigInt(usage.output) * OUTPUT } : { state: 'posted' };
}

(own.length > 0 ? describe : describe.skip)('recorded texts and vectors', () => {
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    const deployments = WIRES.map((wire) => upstream.deployment(wire, { prices: PRICES, maxOutputTokens: 4096 }));
    gateway = await startGateway({ deployments });
  });

  afterAll(async () => {
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
    await upstream.close();
  });

  it.each(own.filter(({ file }) => file.endsWith('.json')))('$file: as its provider wrote it, but for the costs', async (entry) => {
    const { raw, hold } = await ask(entry, entry.path ?? '', wireOf(entry), requestOf(entry));
    const { usage, model: _ours, ...body } = JSON.parse(raw) as Record<string, object>;
    const { usage: counts, model: _theirs, ...recorded } = JSON.parse(transcriptBytes(entry.file).toString()) as Record<string, object>;
    expect(body).toEqual(recorded);
    expect(usage).toMatchObject({ ...counts, total_cost_msat: Number((hold.posted_pico_usd + 999_999n) / 1_000_000n) });
    expect(hold).toMatchObject(priceOf(entry));
  });

  it.each(own.filter(({ file }) => file.endsWith('.sse')))('$file: byte for byte, but for what ends it', async (entry) => {
    const { raw, hold } = await ask(entry, '/v1/completions', wireOf(entry), requestOf(entry));
    const recorded = transcriptBytes(entry.file).toString();
    const cut = raw.lastIndexOf('\n\ndata: ', raw.indexOf('"total_cost_msat"')) + 2;
    expect(raw.slice(0, cut)).toBe(recorded.slice(0, cut));
    expect(textOf(raw)).toBe(textOf(recorded));
    expect(raw.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(hold).toMatchObject(priceOf(entry));
  });

  it.each(chatted)('$file: a chatting model for a client of completions', async (entry) => {
    const stream = entry.file.endsWith('.sse');
    const { raw, hold } = await ask(entry, '/v1/completions', wireOf(entry), { prompt: 'Do it.', max_tokens: 1000, stream });
    const said = decode(wireOf(entry), transcriptBytes(entry.file), stream);
    expect(textOf(raw)).toBe(said.text);
    expect(hold).toMatchObject(priceOf(entry));
  });

  const vectors = transcriptsOf('gemini').filter(({ file }) => file.includes('embeddings'));
  it.each(vectors)('$file: the vectors of another wire, as numbers and in base64', async (entry) => {
    const recorded = JSON.parse(transcriptBytes(entry.file).toString()) as { embeddings: { values: number[] }[] };
    const [{ values } = { values: [] }] = recorded.embeddings;
    const { raw, hold } = await ask(entry, '/v1/embeddings', 'gemini-embed', { input: 'hi', dimensions: values.length });
    expect((JSON.parse(raw) as Vectors).data[0]?.embedding).toEqual(values);
    expect(hold.posted_pico_usd).toBeGreaterThan(0n);
    const packed = await ask(entry, '/v1/embeddings', 'gemini-embed', { input: 'hi', encoding_format: 'base64' });
    const bytes = Buffer.from((JSON.parse(packed.raw) as Vectors).data[0]?.embedding as string, 'base64');
    expect(values.map((_value, at) => bytes.readFloatLE(at * 4))).toEqual(values.map((value) => Math.fround(value)));
    expect(bytes).toHaveLength(values.length * 4);
  });
});

interface Vectors {
  data: { embedding: number[] | string }[];
}

/** The text of the first completion, in whatever shape it came. */
function textOf(raw: string): string {
  const events = raw.startsWith('{') ? [JSON.parse(raw) as ReturnType<typeof jsonOfEvents>[number]] : jsonOfEvents(raw);
  return events.map((event) => wordOf(event['choices']?.[0]?.['text'])).join('');
}
