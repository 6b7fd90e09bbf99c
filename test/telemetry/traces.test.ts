import { beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createLog } from '../../src/log.ts';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestKey } from '../support/gateway.ts';

const PATH = '/v1/chat/completions';
const MODEL = 'pureai/openai-chat';
const SECRET = `canary-${randomUUID()}`;
const CLIENTS = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const prices = { input: 1, output: 2 };

interface ToldSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: Record<string, unknown> }[];
  links?: { traceId: string; spanId: string }[];
  status: { code?: number };
}
interface Received {
  resourceSpans: { resource: { attributes: ToldSpan['attributes'] }; scopeSpans: { spans: ToldSpan[] }[] }[];
}

/** Takes OTLP over HTTP, as a collector does. */
async function startReceiver() {
  const bodies: string[] = [];
  const seen: { path: string | undefined; header: string | undefined }[] = [];
  const server: Server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      bodies.push(Buffer.concat(chunks).toString('utf8'));
      seen.push({ path: req.url, header: req.headers['x-tenant']?.toString() });
      res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    text: () => bodies.join('\n'),
    seen,
    spans: () =>
      bodies.flatMap((body) => (JSON.parse(body) as Received).resourceSpans.flatMap((one) => one.scopeSpans.flatMap(({ spans }) => spans))),
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

const attributesOf = ({ attributes }: ToldSpan) => Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

describe('a request that is traced', () => {
  let upstream: FakeUpstream;
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  let spans: ToldSpan[];
  let key: TestKey;
  let otherPublic: (string | string[] | undefined)[];
  let upstreamParents: (string | string[] | undefined)[];
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    const openai = await startFakeUpstream();
    receiver = await startReceiver();
    const gateway = await startGateway({
      deployments: [upstream.deployment('openai-chat', { prices })],
      env: {
        ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=a', OTEL_SERVICE_NAME: 'pura-test' },
        ...{ OPENAI_API_KEY: 'sk-x', OPENAI_BASE_URL: openai.baseUrl, ALLOW_SIMULATED: 'true', FREE_TIER_REQUESTS: '0' },
      },
    });
    key = await gateway.newKey({ label: SECRET });
    await gateway.fund(key, 5_000);
    const messages = [{ role: 'user', content: SECRET }];
    const traceparent = `00-${CLIENTS.traceId}-${CLIENTS.spanId}-01`;
    for (const stream of [false, true]) {
      const answer = await gateway.post(PATH, { model: MODEL, messages, stream, user: SECRET }, key, { traceparent });
      expect([answer.status, await answer.text()].slice(0, 1)).toEqual([200]);
    }
    await (await gateway.post(PATH, { model: 'gpt-4o-mini', messages }, key, { traceparent })).text();
    upstream.otherwise((exchange) => exchange.json({ error: { message: 'busy' } }, { status: 500 }));
    await (await gateway.post(PATH, { model: MODEL, messages }, key)).text();
    await gateway.close();
    upstreamParents = upstream.requests.map(({ headers }) => headers['traceparent']);
    otherPublic = openai.requests.map(({ headers }) => headers['traceparent']);
    await Promise.all([upstream.close(), openai.close(), receiver.close()]);
    spans = receiver.spans();
  });
  const requests = () => spans.filter(({ name }) => name === `POST ${PATH}`);
  const childrenOf = ({ spanId }: ToldSpan) => spans.filter(({ parentSpanId }) => parentSpanId === spanId);

  it('has its stages, its attempt and that one’s exchange as spans of one trace', () => {
    expect(requests()).toHaveLength(4);
    for (const request of requests().slice(0, 2)) {
      expect(request).toMatchObject({ kind: 2, links: [CLIENTS] });
      expect(request.traceId).not.toBe(CLIENTS.traceId);
      expect(attributesOf(request)).toMatchObject({ 'http.route': PATH, 'http.response.status_code': 200, 'pura.outcome': 'ok' });
      const children = childrenOf(request);
      const names = ['pura.authenticate', 'pura.plan', 'pura.admit', 'pura.settle', `chat ${MODEL}`];
      expect(children.map(({ name }) => name)).toEqual(names);
      const [, plan, admit, settle, asked] = children;
      if (!plan || !admit || !settle || !asked) throw new Error('a span is missing');
      expect(attributesOf(plan)).toMatchObject({ 'gen_ai.request.model': MODEL, 'pura.candidates': 1 });
      expect(attributesOf(admit)).toMatchObject({
        'pura.funding': 'wallet',
        'pura.verdict': 'admitted',
        'pura.hold_msat': expect.anything(),
      });
      expect(attributesOf(settle)).toMatchObject({ 'pura.outcome': 'ok', 'pura.charged_msat': expect.anything() });
      expect(asked.kind).toBe(3);
      expect(attributesOf(asked)).toEqual({
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai-chat',
        'gen_ai.request.model': MODEL,
        'gen_ai.usage.input_tokens': 10,
        'gen_ai.usage.output_tokens': 5,
      });
      const [http] = childrenOf(asked);
      expect(http && [http.name, attributesOf(http)['http.response.status_code']]).toEqual(['POST', 200]);
      for (const child of children) {
        expect(child.traceId).toBe(request.traceId);
        expect(BigInt(child.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(request.startTimeUnixNano));
        expect(BigInt(child.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(request.endTimeUnixNano));
      }
    }
  });

  it('says what failed', () => {
    const failed = requests()[3];
    if (!failed) throw new Error('no span of the failed request');
    expect(failed.status).toMatchObject({ code: 2 });
    expect(failed.links ?? []).toEqual([]);
    expect(attributesOf(failed)).toMatchObject({ 'http.response.status_code': 503, 'error.type': 'upstream_error' });
    const asked = childrenOf(failed).find(({ name }) => name === `chat ${MODEL}`);
    expect(asked && attributesOf(asked)).toMatchObject({ 'error.type': 'failed' });
  });

  it('is linked to by the batches that wrote it', () => {
    const traces = new Set(requests().map(({ traceId }) => traceId));
    for (const name of ['pura.ledger_batch', 'pura.record']) {
      const batches = spans.filter((span) => span.name === name);
      expect(new Set(batches.flatMap(({ links = [] }) => links.map(({ traceId }) => traceId)))).toEqual(traces);
    }
  });

  it('has the invoice and its credit beside it', () => {
    expect(
      spans
        .filter(({ name }) => name === 'pura.invoice' || name === 'pura.credit')
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(['pura.credit', 'pura.invoice']);
  });

  it('goes on at the operator’s own servers, and at nobody else’s', () => {
    const asked = spans.filter(({ name, parentSpanId }) => name === `chat ${MODEL}` && parentSpanId !== undefined);
    expect(upstreamParents).toEqual(asked.map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`));
    expect(otherPublic).toEqual([undefined]);
  });

  it('says nothing of what was said, of accounts, keys or labels', () => {
    for (const word of [SECRET, key.id, key.accountId, key.secret, 'Hello.']) expect(receiver.text()).not.toContain(word);
    expect(receiver.seen.every(({ path, header }) => path === '/v1/traces' && header === 'a')).toBe(true);
    expect(receiver.text()).toContain('pura-test');
  });
});

describe('without a place for traces', () => {
  const SOURCE = fileURLToPath(new URL('../../src/', import.meta.url));

  /** What of OpenTelemetry a process loads that puts a gateway's readers together. */
  function loaded(env: Record<string, string>): string[] {
    const script = `
      import { registerHooks } from 'node:module';
      const seen = new Set();
      registerHooks({ load(url, context, next) { const found = /node_modules\\/(@opentelemetry\\/[\\w-]+|prom-client)/.exec(url); if (found) seen.add(found[1]); return next(url, context); } });
      await import('${SOURCE}start-server.ts');
      const { startObserving, openMetrics, openTraces } = await import('${SOURCE}observing.ts');
      const { loadConfig } = await import('${SOURCE}config/config.ts');
      const { createLog } = await import('${SOURCE}log.ts');
      const observing = startObserving(createLog('silent'));
      const config = loadConfig();
      await openMetrics(observing, config, { wallet: {} });
      await (await openTraces(observing, config))?.close();
      console.log(JSON.stringify([...seen].sort()));
      process.exit(0);`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', script], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
      encoding: 'utf8',
    });
    if (!stdout) throw new Error(stderr);
    return JSON.parse(stdout) as string[];
  }

  it('nothing of OpenTelemetry is loaded, but for its bare API with the metrics’ library', () => {
    expect(loaded({})).toEqual([]);
    expect(loaded({ ADMIN_TOKEN: '0123456789abcdef' })).toEqual(['@opentelemetry/api', 'prom-client']);
  });
});

it('a receiver that is away keeps neither requests nor the end waiting', async () => {
  const gateway = await startGateway({
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', LOG_LEVEL: 'silent' },
    log: createLog('silent'),
  });
  const key = await gateway.newKey();
  const answer = await gateway.post(PATH, { model: 'demo-cheap', messages: [{ role: 'user', content: 'Hi' }] }, key);
  expect(answer.status).toBe(200);
  await answer.text();
  await gateway.close();
});
