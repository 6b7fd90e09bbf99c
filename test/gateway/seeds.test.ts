import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { curlSamples, type CurlSample } from '../support/curl-samples.ts';
import { readStream } from '../support/chat-stream.ts';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { plainAnswer } from '../support/plain-answers.ts';

/** The published pages of the interfaces that this one is to be like. They lie beside the project, where they are at all. */
const DIRECTORY = new URL('../../../shared/seeds/', import.meta.url);
const pages = existsSync(DIRECTORY)
  ? readdirSync(DIRECTORY).map((name) => ({ name, text: readFileSync(new URL(name, DIRECTORY), 'utf8') }))
  : [];
if (pages.length === 0) console.warn(`skipped: no pages in ${DIRECTORY.pathname}`);

interface Sample extends CurlSample {
  readonly name: string;
}

const samples: Sample[] = pages.flatMap(({ name, text }) =>
  curlSamples(text).map((sample, at) => ({ ...sample, name: `${name.slice(0, 3)} #${at} ${sample.method} ${sample.path}` })),
);
/** A caller's own provider key. */
const ownKey = ({ headers }: Sample) => 'X-Provider-Key' in headers;
const plain = samples.filter((sample) => !ownKey(sample));
interface SampleBody {
  model?: string;
  models?: string[];
  stream?: boolean;
  execute?: boolean;
  routing?: { quality?: string };
}
const bodyOf = ({ body }: CurlSample) => JSON.parse(body ?? '{}') as SampleBody;
const isRouter = ({ path }: Sample) => path === '/v1/router';
const isDecision = (sample: Sample) => isRouter(sample) && bodyOf(sample).execute === false;
const isInference = (sample: Sample) => /completions$|^\/api\/chat$|^\/v1\/router$/.test(sample.path) && !isDecision(sample);
const isStream = (sample: Sample) => bodyOf(sample).stream ?? sample.path === '/api/chat';

let upstream: FakeUpstream;
let gateway: TestGateway;
let key: TestKey;
let invoiceId: string;

/** Sends a sample as printed: only the host, the key and the invoice's id are other ones. */
function send({ method, path, headers, body }: CurlSample): Promise<Response> {
  const own = Object.entries(headers).map(([name, value]) => {
    if (/^authorization$/i.test(name)) return [name, `Bearer ${key.secret}`];
    return [name, /^x-api-key$/i.test(name) ? key.secret : value];
  });
  const url = gateway.url + path.replace('INV_ID', invoiceId);
  return fetch(url, { method, headers: Object.fromEntries(own) as Record<string, string>, ...(body !== null && { body }) });
}

const COSTS = {
  input_cost_usd: expect.any(Number),
  output_cost_usd: expect.any(Number),
  total_cost_usd: expect.any(Number),
  latency_ms: expect.any(Number),
};
const COUNTS = { prompt_tokens: expect.any(Number), completion_tokens: expect.any(Number), total_tokens: expect.any(Number) };

const DECIDED = { selected_model: expect.any(String), reasoning: expect.any(String), confidence: expect.any(Number) };
const ROUTED = { id: expect.stringMatching(/^router-/), routing: DECIDED };

const TEXT_CHUNK = expect.stringMatching(/^text_completion/);

/** The documented shape of the answers that are JSON and no completion, by path. */
const SHAPES: Readonly<Record<string, { status: number; body: object }>> = {
  '/api/keys': { status: 201, body: { key: expect.stringMatching(/^pura_/), label: 'my-agent' } },
  '/api/report': {
    status: 200,
    body: {
      totalSpendUsd: expect.any(Number),
      perModel: expect.any(Object),
      requestCount: expect.any(Number),
      averageCostUsd: expect.any(Number),
    },
  },
  '/api/wallet/fund': {
    status: 201,
    body: {
      paymentRequest: expect.stringMatching(/^ln/),
      invoiceUrl: expect.stringMatching(/\/invoice\//),
      statusUrl: expect.stringMatching(/invoiceId=/),
      amount: 10_000,
    },
  },
  '/api/wallet/status?invoiceId=INV_ID': { status: 200, body: { status: 'pending', invoiceId: expect.any(String) } },
  '/api/wallet/balance': { status: 200, body: { balance: expect.any(Number), unit: 'sats' } },
  '/api/status': { status: 200, body: {} },
  '/v1/router': { status: 200, body: DECIDED },
};

(pages.length > 0 ? describe : describe.skip)('the samples of the published pages, sent as printed', () => {
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    gateway = await startGateway({
      env: {
        ALLOW_SIMULATED: 'true',
        OPENAI_API_KEY: 'sk-test',
        OPENAI_BASE_URL: upstream.baseUrl,
        ANTHROPIC_API_KEY: 'sk-ant-test',
        ANTHROPIC_BASE_URL: upstream.baseUrl,
      },
      config: { aliases: { 'codex-auto-review': 'gpt-5.4-mini', 'codestral-latest': 'gpt-5.4-mini' } },
      deployments: [upstream.deployment('openai-chat', { id: 'gemma-3-4b-it', wire: ['openai-chat', 'openai-completions'] })],
    });
    key = await gateway.newKey();
    const answer = await gateway.post('/api/wallet/fund', { amount: 1000 }, key);
    ({ invoiceId } = (await answer.json()) as { invoiceId: string });
  });

  afterAll(async () => {
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
    await upstream.close();
  });

  it('are there, and nothing else is left out', () => {
    expect(pages).toHaveLength(4);
    expect(samples.length).toBeGreaterThan(20);
    expect(samples.filter(ownKey)).toHaveLength(1);
    expect(samples.filter(isRouter).map((sample) => [isDecision(sample), isStream(sample), bodyOf(sample).models?.length])).toEqual([
      [false, false, undefined],
      [false, false, 2],
      [true, false, undefined],
      [false, true, undefined],
    ]);
    for (const { path } of plain.filter((sample) => !isInference(sample))) expect(Object.keys(SHAPES)).toContain(path);
  });

  it.each(plain.filter((sample) => isInference(sample) && isStream(sample)))('$name: a stream', async (sample) => {
    const answer = await send(sample);
    expect({ status: answer.status, type: answer.headers.get('content-type') }).toEqual({
      status: 200,
      type: expect.stringMatching(/^text\/event-stream/),
    });
    expect(answer.headers.get('x-pura-quality')).toBe(bodyOf(sample).routing?.quality ?? null);
    const { chunks, done, settled, raw } = await readStream(answer);
    const object = sample.path === '/v1/completions' ? TEXT_CHUNK : 'chat.completion.chunk';
    const told = isRouter(sample) && ROUTED;
    expect(chunks[0]).toMatchObject({ id: expect.any(String), object, choices: [{ index: 0 }], ...told });
    expect({ done, text: raw.includes('Hello.') }).toEqual({ done: true, text: true });
    expect(settled?.cost_msat).toBeGreaterThan(0);
  });

  it.each(plain.filter((sample) => isInference(sample) && !isStream(sample)))('$name: a JSON object', async (sample) => {
    const answer = await send(sample);
    const body: unknown = await answer.json();
    const isChat = sample.path !== '/v1/completions';
    const choice = isChat ? { message: { role: 'assistant', content: 'Hello.' } } : { text: 'Hello.' };
    expect({ status: answer.status, body }).toMatchObject({
      status: 200,
      body: {
        object: isChat ? 'chat.completion' : 'text_completion',
        id: expect.any(String),
        created: expect.any(Number),
        model: expect.any(String),
        choices: [{ index: 0, ...choice, finish_reason: 'stop' }],
        usage: { ...COUNTS, ...COSTS },
        ...(isRouter(sample) && ROUTED),
      },
    });
    for (const name of ['provider', 'model', 'cost', 'tier', 'budget-remaining', 'explored'])
      expect(answer.headers.get(`x-pura-${name}`)).toMatch(/./);
  });

  it.each(plain.filter((sample) => !isInference(sample)))('$name', async (sample) => {
    const answer = await send(sample);
    const body: unknown = await answer.json();
    expect({ status: answer.status, body }).toMatchObject(SHAPES[sample.path] as object);
  });

  it.each(samples.filter(ownKey))("$name: with the caller's own provider key", async (sample) => {
    const answer = await send(sample);
    expect({ status: answer.status, funding: answer.headers.get('x-pura-funding') }).toEqual({ status: 200, funding: 'byok' });
    const { done, settled } = await readStream(answer);
    expect({ done, settled }).toMatchObject({ done: true, settled: { funding: 'byok', charged_msat: 0 } });
    expect(settled?.cost_msat).toBeGreaterThan(0);
    expect(upstream.requests.at(-1)?.headers.authorization).toBe(`Bearer ${sample.headers['X-Provider-Key']}`);
  });

  it('the check of headers runs in a shell, to the letter', async () => {
    const { text = '' } = pages.find(({ text: page }) => page.includes('PB_API_KEY=')) ?? {};
    const start = text.indexOf('export PB_API_KEY');
    const printed = text.slice(start, text.indexOf('\n\n', text.indexOf('grep -Ei', start)));
    const script = printed.replace(/sk-x+/, key.secret).replace('https://api.purebridge.uk', gateway.url).replace('/tmp/', `${tmpdir()}/`);
    const [, sent = ''] = /BODY='([^']*)'/.exec(printed) ?? [];
    const upstreamHeaders = {
      'x-request-id': 'req_of_openai',
      'openai-processing-ms': '12',
      'openai-version': '2020-10-01',
      'x-ratelimit-limit-requests': '500',
    };
    upstream.otherwise((exchange) => {
      const { body, contentType } = plainAnswer('openai-chat', false, exchange.body);
      exchange.raw(body, { headers: { ...upstreamHeaders, 'content-type': contentType } });
    });
    const { stdout } = await promisify(execFile)('bash', ['-c', script], { encoding: 'utf8' });
    const { headers } = await gateway.post('/v1/chat/completions', sent, key, { 'x-client-request-id': 'pb-verify' });
    upstream.otherwise(null);
    expect(Object.fromEntries(headers)).toMatchObject({
      ...upstreamHeaders,
      'x-client-request-id': 'pb-verify',
      'x-pura-body-sha256': createHash('sha256').update(sent).digest('hex'),
    });
    const [hash = '', ...lines] = stdout.split('\n').map((line) => line.trim());
    expect(hash.split(' ')[0]).toBe(createHash('sha256').update(sent).digest('hex'));
    // As printed, its filter lets whole names through alone.
    expect(lines).toContain('x-request-id: req_of_openai');
    expect(lines.some((line) => /^date:/i.test(line))).toBe(true);
    const heard = upstream.requests.at(-2);
    expect(heard?.headers['x-client-request-id']).toMatch(/^pb-verify-\d+$/);
    const saved = JSON.parse(readFileSync(join(tmpdir(), 'purebridge-verify.json'), 'utf8')) as unknown;
    expect(saved).toMatchObject({ object: 'chat.completion', choices: [{ message: { content: 'Hello.' } }] });
  });

  it('lists the models in the documented shape', async () => {
    const { object, data } = (await (await gateway.get('/v1/models', key)).json()) as { object: string; data: object[] };
    expect(object).toBe('list');
    for (const model of data)
      expect(model).toMatchObject({ id: expect.any(String), object: 'model', created: expect.any(Number), owned_by: expect.any(String) });
  });
});
