import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Express, Request, Response } from 'express';
import { connect, type Socket } from 'node:net';
import { ERRORS, GatewayError, type ErrorCode } from '../../src/errors.ts';
import type { InferenceRoute } from '../../src/http/payment/incoming.ts';
import { startApi, type TestApi } from '../support/api.ts';

let api: TestApi;
/** What the stand-in for the gateway does with a request. */
let chat: (req: Request, res: Response) => Promise<void>;
beforeAll(async () => {
  api = await startApi({
    deps: { gateway: { answer: (req, res) => chat(req, res), estimate: () => Promise.reject(new Error('not asked here')) } },
  });
});
afterAll(() => api.close());

const post = (): ReturnType<TestApi['call']> => api.call('POST', '/v1/chat/completions', { body: {} });

/** Writes bytes to the server's port and gives all that comes back until it closes. */
function exchange(bytes: string): Promise<string> {
  const { hostname, port } = new URL(api.origin);
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(Number(port), hostname, () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}

describe('the server', () => {
  it('gives Express requests and responses whose prototypes it has no need to switch', async () => {
    const switched: object[] = [];
    const { setPrototypeOf } = Object;
    let seen: { request: boolean; response: boolean } | undefined;
    chat = (req, res) => {
      const app = (req as unknown as { app: Express }).app;
      seen = { request: Object.getPrototypeOf(req) === app.request, response: Object.getPrototypeOf(res) === app.response };
      res.json({});
      return Promise.resolve();
    };
    Object.setPrototypeOf = (target: object, prototype: object | null) => {
      if (Object.getPrototypeOf(target) !== prototype) switched.push(target);
      return setPrototypeOf(target, prototype);
    };
    try {
      await post();
    } finally {
      Object.setPrototypeOf = setPrototypeOf;
    }
    expect(seen).toEqual({ request: true, response: true });
    expect(switched).toEqual([]);
  });

  it.each([
    ['no HTTP at all', 'hello\r\n\r\n', 400],
    [
      'both Content-Length and Transfer-Encoding',
      'POST /api/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['two lengths', 'POST /api/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}', 400],
    ['a header that is too long', `GET /health HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['a control character in a header', 'GET /health HTTP/1.1\r\nHost: a\r\nX: a\u0001b\r\n\r\n', 400],
  ])('answers %s in JSON and closes', async (_name, bytes, status) => {
    const [head = '', body = ''] = (await exchange(bytes)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(head).toMatch(/x-pura-request-id: [0-9a-f-]{36}/i);
    expect(JSON.parse(body)).toMatchObject({ error: { type: 'invalid_request_error', code: 'invalid_request' } });
  });

  it('writes no refusal into an answer that has begun', async () => {
    let begun: (() => void) | undefined;
    const started = new Promise<void>((resolve) => (begun = resolve));
    chat = (_req, res) => {
      res.write('first');
      begun?.();
      return new Promise((resolve) => res.once('close', resolve));
    };
    const { hostname, port } = new URL(api.origin);
    const socket = connect(Number(port), hostname);
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
    await started;
    socket.write('garbage\r\n\r\n');
    await closed;
    expect(text).not.toContain('400');
  });
});

describe('every answer', () => {
  it('carries an id of its own, nothing about Express, and no entity tag', async () => {
    const [one, other] = [await api.call('GET', '/health'), await api.call('GET', '/health')];
    expect(one.headers.get('x-pura-request-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(one.headers.get('x-pura-request-id')).not.toBe(other.headers.get('x-pura-request-id'));
    expect(one.headers.get('x-powered-by')).toBeNull();
    expect(one.headers.get('etag')).toBeNull();
  });

  it.each(['/nowhere', '/v1/chat', '/V1/models', '/api/keys/a/b', '/%2e%2e/etc/passwd'])('is a JSON 404 for %s', async (path) => {
    const { status, headers, body } = await api.call('GET', path);
    expect([status, body['error']]).toEqual([404, expect.objectContaining({ type: 'invalid_request_error', code: 'not_found' })]);
    expect(headers.get('x-pura-request-id')).toBeTruthy();
  });

  it.each([
    ['//health', 200],
    ['/api///health//', 200],
    ['//api//wallet//fund', 405],
    ['//nowhere//health', 404],
    ['/nowhere?next=//health', 404],
  ])('takes repeated slashes of the path for one: %s is a %i', async (path, status) => {
    const [head = ''] = (await exchange(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)).split('\r\n');
    expect(head).toContain(` ${status} `);
  });

  it('is the same for a URL in absolute form, and keeps the slashes of a query', async () => {
    let url: string | undefined;
    chat = (req, res) => {
      ({ url } = req);
      res.json({});
      return Promise.resolve();
    };
    const head = (target: string) => `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
    expect(await exchange(head('http://a/v1/chat/completions'))).toContain(' 200 ');
    expect(await exchange(head('/v1//chat/completions?a=b//c'))).toContain(' 200 ');
    expect(url).toBe('/v1/chat/completions?a=b//c');
  });

  it('is a 400 for a path that cannot be decoded', async () => {
    expect((await api.call('PATCH', '/api/keys/%ff', { body: {} })).body['error']?.['code']).toBe('invalid_request');
  });

  it.each([
    ['GET', '/v1/chat/completions', 'POST'],
    ['PUT', '/api/keys', 'POST, GET, HEAD'],
    ['GET', '/api/keys/x', 'PATCH, DELETE'],
    ['POST', '/v1/models/pureai/x', 'GET, HEAD'],
    ['DELETE', '/health', 'GET, HEAD'],
    ['POST', '/status', 'GET, HEAD'],
  ])('is a 405 with Allow for %s %s', async (method, path, allow) => {
    const { status, headers, body } = await api.call(method, path);
    expect([status, headers.get('allow'), body['error']?.['code']]).toEqual([405, allow, 'method_not_allowed']);
  });

  it('has no body for HEAD', async () => {
    const response = await fetch(`${api.origin}/health`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
  });
});

describe('what a handler throws', () => {
  it('is told as the table of errors says, with the headers that go with it', async () => {
    chat = () => Promise.reject(new GatewayError('rate_limit_exceeded', { message: 'Rate limit exceeded: 10 RPM', retryAfter: 7 }));
    const { status, headers, body } = await post();
    expect(status).toBe(429);
    expect([headers.get('retry-after'), headers.get('retry_after'), body['error']?.['retry_after']]).toEqual(['7', '7', 7]);
    expect(headers.get('x-should-retry')).toBeNull();
  });

  const codes = Object.keys(ERRORS) as ErrorCode[];
  it.each(codes)('says whether it is to be retried by itself, and kept: %s', async (code) => {
    chat = () => Promise.reject(new GatewayError(code));
    const answer = await post();
    const isFinal = [401, 402, 500].includes(answer.status) || code === 'idempotency_conflict';
    expect([answer.status, answer.headers.get('x-should-retry')]).toEqual([ERRORS[code].status, isFinal ? 'false' : null]);
    expect(answer.headers.get('cache-control')).toBe(answer.status === 402 ? 'no-store' : null);
  });

  it('shows nothing of an error that nobody foresaw', async () => {
    chat = () => Promise.reject(new TypeError('the secret is 42'));
    const { status, body } = await post();
    expect([status, body['error']?.['code']]).toEqual([500, 'internal_error']);
    expect(JSON.stringify(body)).not.toContain('42');
  });

  it.each([
    ['database_unavailable', Object.assign(new Error('x'), { code: 'ECONNREFUSED' })],
    ['database_unavailable', Object.assign(new Error('x'), { code: '57P01' })],
    // Its disk is full; a statement took too long.
    ['database_unavailable', Object.assign(new Error('x'), { code: '53100' })],
    ['database_unavailable', Object.assign(new Error('x'), { code: '57014' })],
    ['overloaded', Object.assign(new Error('x'), { code: '55P03' })],
  ])('is %s where the database is the reason', async (code, error) => {
    chat = () => Promise.reject(error);
    const { status, headers, body } = await post();
    expect([status, body['error']?.['code'], headers.get('retry-after')]).toEqual([503, code, '1']);
  });

  it('ends an answer that had begun, so that nobody takes it for a whole one', async () => {
    chat = (_req, res) => {
      res.write('{"half":');
      return Promise.reject(new Error('too late'));
    };
    await expect(post()).rejects.toThrow();
  });
});

describe('pages of other origins', () => {
  const origin = { origin: 'https://page.example' };

  it('may call the API, without cookies, and read its headers, also of a refusal', async () => {
    const { status, headers } = await api.call('GET', '/api/keys', { headers: origin });
    expect(status).toBe(401);
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('access-control-allow-credentials')).toBeNull();
    const exposed = headers.get('access-control-expose-headers')?.split(',');
    expect(exposed).toEqual(
      expect.arrayContaining([
        'WWW-Authenticate',
        'PAYMENT-REQUIRED',
        'Payment-Receipt',
        'Retry-After',
        'X-Pura-Cost',
        'X-Pura-Ignored',
        'request-id',
      ]),
    );
    expect(exposed).toContain('X-Pura-RateLimit-Remaining-Tokens');
  });

  it('get their preflight answered without a key', async () => {
    const headers = { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' };
    const response = await fetch(`${api.origin}/v1/chat/completions`, { method: 'OPTIONS', headers });
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-headers')).toBe('authorization,content-type');
    expect(response.headers.get('access-control-allow-methods')).toContain('POST');
  });

  it('get nothing outside of the API', async () => {
    expect((await api.call('GET', '/health', { headers: origin })).headers.get('access-control-allow-origin')).toBeNull();
  });

  it('are only those that the operator named', async () => {
    const strict = await startApi({ env: { CORS_ORIGINS: 'https://page.example,https://other.example' } });
    try {
      const named = await strict.call('GET', '/api/status', { headers: origin });
      expect([named.headers.get('access-control-allow-origin'), named.headers.get('vary')]).toEqual(['https://page.example', 'Origin']);
      const foreign = await strict.call('GET', '/api/status', { headers: { origin: 'https://evil.example' } });
      expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    } finally {
      await strict.close();
    }
  });
});

describe('createApp', () => {
  it('gives the path, its wire and the default for `stream` to the gateway', async () => {
    const given: unknown[] = [];
    const deps = {
      gateway: {
        answer: (_req: Request, res: Response, { path, streamDefault, surface }: InferenceRoute) =>
          Promise.resolve(void (given.push({ path, streamDefault, wire: surface.wire }), res.json({}))),
        estimate: () => Promise.reject(new Error('not asked here')),
      },
    };
    const own = await startApi({ deps });
    try {
      await own.call('POST', '/v1/chat/completions', { body: {} });
      await own.call('POST', '/api/chat', { body: {} });
    } finally {
      await own.close();
    }
    expect(given).toEqual([
      { path: '/v1/chat/completions', streamDefault: false, wire: 'openai-chat' },
      { path: '/api/chat', streamDefault: true, wire: 'openai-chat' },
    ]);
  });
});

describe('a WebSocket', () => {
  it.each(['/v1/responses', '/l402/v1/responses'])('is refused at once where clients ask for one first: %s', async (path) => {
    const headers =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';
    const answer = await exchange(`GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 426 /);
    expect(answer).toContain('upgrade_required');
  });

  it('leaves the path as it is for any other GET', async () => {
    const answer = await exchange('GET /v1/responses HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 405 /);
    expect(answer).toMatch(/allow: POST\r\n/i);
  });
});
