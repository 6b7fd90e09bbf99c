import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApi, type TestApi } from '../../support/api.ts';

let api: TestApi;
let secret: string;
beforeAll(async () => {
  api = await startApi();
  ({ secret } = await api.newAccount());
});
afterAll(() => api.close());

/** Sends header lines exactly as given, which no HTTP client does, and gives the status and the body. */
function raw(...lines: string[]): Promise<{ status: number; head: string; body: string }> {
  const { hostname, port } = new URL(api.origin);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => {
      const [head = '', body = ''] = text.split('\r\n\r\n');
      resolve({ status: Number(head.split(' ')[1]), head, body });
    });
    socket.write(['GET /api/keys HTTP/1.1', 'Host: test', 'Connection: close', ...lines, '', ''].join('\r\n'));
  });
}

describe('a credential', () => {
  it.each([
    ['Authorization: Bearer', (key: string) => [`Authorization: Bearer ${key}`]],
    ['x-api-key', (key: string) => [`x-api-key: ${key}`]],
    ['a scheme in lower case', (key: string) => [`authorization: bearer ${key}`]],
    ['two identical Authorization lines', (key: string) => [`Authorization: Bearer ${key}`, `authorization: Bearer ${key}`]],
    ['Authorization beside a wrong x-api-key, which loses', (key: string) => ['x-api-key: wrong', `Authorization: Bearer ${key}`]],
  ])('is accepted as %s', async (_name, lines) => {
    expect((await raw(...lines(secret))).status).toBe(200);
  });

  it.each([
    ['none', () => []],
    ['an empty one', () => ['Authorization:']],
    ['a scheme alone', () => ['Authorization: Bearer']],
    ['a wrong one beside a right x-api-key', (key: string) => [`x-api-key: ${key}`, 'Authorization: Bearer wrong']],
    ['an unknown one', () => [`Authorization: Bearer pura_${'A'.repeat(43)}`]],
    ['a right one with more behind it', (key: string) => [`Authorization: Bearer ${key}x`]],
    ['two in one line', (key: string) => [`Authorization: Bearer ${key}, Bearer ${key}`]],
    ['Basic', (key: string) => [`Authorization: Basic ${Buffer.from(`${key}:`).toString('base64')}`]],
    ['L402', () => ['Authorization: L402 abc:def']],
    ['LSAT and L402 lines with the same payment', () => ['Authorization: LSAT abc:def', 'Authorization: L402 abc:def']],
    ['Payment', () => ['Authorization: Payment abc']],
    ['one in x-api-key twice', (key: string) => [`x-api-key: ${key}`, `x-api-key: ${key}`]],
    ['bytes that are no text', () => ['Authorization: Bearer \u00ff\u00fe']],
  ])('is refused, with one answer for all and no challenge: %s', async (_name, lines) => {
    const { status, head, body } = await raw(...lines(secret));
    expect(status).toBe(401);
    expect(JSON.parse(body)).toEqual({
      error: { message: 'Missing or invalid API key.', type: 'authentication_error', code: 'invalid_api_key', param: null },
    });
    expect(head).not.toMatch(/www-authenticate/i);
    expect(head).toMatch(/x-pura-request-id: [0-9a-f-]{36}/i);
  });

  it.each([
    ['two different keys', (key: string) => [`Authorization: Bearer ${key}`, 'Authorization: Bearer other']],
    ['a key and a payment', (key: string) => [`Authorization: Bearer ${key}`, 'Authorization: L402 abc:def']],
    ['two different payments', () => ['Authorization: LSAT abc:def', 'Authorization: L402 abc:000']],
  ])('that contradicts itself is a 400: %s', async (_name, lines) => {
    const { status, body } = await raw(...lines(secret));
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'invalid_request', param: 'Authorization' } });
  });

  it('that is missing or wrong is told before anything else that is wrong', async () => {
    const { status } = await api.call('PATCH', '/api/keys/nonsense', { body: '{', headers: { 'content-type': 'text/plain' } });
    expect(status).toBe(401);
  });
});
