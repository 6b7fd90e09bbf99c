import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { samplesIn, type Sample } from '../support/metric-samples.ts';

const PATH = '/v1/chat/completions';
const TOKEN = 'operator-0123456789';
const MODEL = 'pureai/openai-chat';
const prices = { input: 1, output: 2 };

let upstream: FakeUpstream;
let gateway: TestGateway;
let key: TestKey;
beforeAll(async () => {
  upstream = await startFakeUpstream();
  const env = { ADMIN_TOKEN: `ann:${TOKEN},bob:${TOKEN.toUpperCase()}`, FREE_TIER_REQUESTS: '0', RATE_LIMIT_RPM: '300' };
  gateway = await startGateway({
    deployments: [upstream.deployment('openai-chat', { prices }), upstream.deployment('openai-embeddings', { prices })],
    env,
  });
  key = await gateway.newKey({ rateLimitRpm: 300 });
  await gateway.fund(key, 5_000);
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const scrape = (token = TOKEN) => fetch(`${gateway.url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
const samples = async (): Promise<Sample[]> => samplesIn(await (await scrape()).text());
const find = (all: readonly Sample[], name: string, labels: Record<string, string> = {}) =>
  all.find((sample) => sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value))?.value;
const chat = (fields: object = {}) => ({ model: MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 20, ...fields });

describe('who may read', () => {
  it.each<[string, Record<string, string>]>([
    ['nobody', {}],
    ['a wrong token', { authorization: `Bearer ${TOKEN}x` }],
    ['a token in another scheme', { authorization: `Basic ${TOKEN}` }],
    ['a token in another header', { 'x-api-key': TOKEN }],
  ])('not %s', async (_who, headers) => {
    const answer = await fetch(`${gateway.url}/metrics`, { headers });
    expect(answer.status).toBe(401);
    // A challenge would have browsers and agents look for somebody to ask.
    expect(answer.headers.get('www-authenticate')).toBeNull();
    expect(await answer.json()).toMatchObject({ error: { code: 'invalid_api_key', type: 'authentication_error' } });
  });

  it('not the owner of a key', async () => {
    expect((await scrape(key.secret)).status).toBe(401);
  });

  it.each([TOKEN, TOKEN.toUpperCase()])('every operator: %s', async (token) => {
    const answer = await scrape(token);
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
      'no-store',
    ]);
  });

  it('nobody where there is no operator', async () => {
    const closed = await startGateway();
    try {
      const answer = await fetch(`${closed.url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } });
      expect(answer.status).toBe(404);
      expect(await answer.json()).toMatchObject({ error: { code: 'not_found' } });
    } finally {
      await closed.close();
    }
  });
});

it('a request, its attempts and its money are counted', async () => {
  const before = await samples();
  const json = await gateway.post(PATH, chat(), key);
  const stream = await gateway.post(PATH, chat({ stream: true }), key);
  await Promise.all([json.text(), stream.text()]);
  expect([json.status, stream.status]).toEqual([200, 200]);
  const charged = Number(json.headers.get('x-pura-cost-msat'));
  const refused = await gateway.post(PATH, chat({ model: 'no such model' }), key);
  await refused.text();
  const all = await samples();
  const moved = (name: string, labels: Record<string, string>) => (find(all, name, labels) ?? 0) - (find(before, name, labels) ?? 0);
  const genAi = { gen_ai_operation_name: 'chat', gen_ai_provider_name: 'openai-chat', gen_ai_request_model: MODEL };
  expect(moved('pura_requests_total', { surface: 'openai-chat', funding: 'wallet', outcome: 'ok', code: '' })).toBe(2);
  expect(moved('pura_requests_total', { surface: 'openai-chat', funding: '', outcome: 'rejected', code: 'model_not_found' })).toBe(1);
  expect(moved('pura_attempts_total', { provider: 'openai-chat', model: MODEL, result: 'ok' })).toBe(2);
  expect(moved('gen_ai_server_request_duration_seconds_count', { ...genAi, error_type: '' })).toBe(2);
  expect(moved('gen_ai_client_operation_time_to_first_chunk_seconds_count', genAi)).toBe(1);
  expect(moved('gen_ai_client_token_usage_sum', { ...genAi, gen_ai_token_type: 'output' })).toBe(10);
  expect(charged).toBeGreaterThan(0);
  expect(moved('pura_charges_msat_total', { provider: 'openai-chat', model: MODEL, funding: 'wallet' })).toBe(2 * charged);
  const route = { http_request_method: 'POST', http_route: PATH, url_scheme: 'http' };
  expect(moved('http_server_request_duration_seconds_count', { ...route, http_response_status_code: '200' })).toBe(2);
  expect(moved('http_server_request_duration_seconds_count', { ...route, http_response_status_code: '404', error_type: '' })).toBe(1);
  expect(moved('pura_ledger_verdicts_total', { verdict: 'admitted' })).toBe(2);
  expect(moved('pura_ledger_verdicts_total', { verdict: 'posted' })).toBe(2);
  expect(find(all, 'pura_exchange_rate_usd')).toBe(100_000);
});

it('what clients write makes no series', async () => {
  const odd = Array.from({ length: 40 }, (_one, n) => `odd-${n}-${randomUUID()}`);
  await Promise.all(
    odd.map(async (word, n) => {
      const headers = { 'x-pura-cohort': word, 'idempotency-key': word, 'x-client-request-id': word };
      const asked = [
        gateway.post(PATH, chat({ model: word, user: word }), key, headers),
        gateway.post(`/v1/${word}`, chat(), n % 2 ? key : null, headers),
        fetch(`${gateway.url}/invoice/${word}?${word}`, { method: n % 2 ? 'DELETE' : 'GET' }),
        fetch(`${gateway.url}/${word}`, { headers: { authorization: `Bearer ${word}` } }),
      ];
      for (const answer of await Promise.all(asked)) await answer.text();
    }),
  );
  const text = await (await scrape()).text();
  for (const word of odd) expect(text).not.toContain(word);
  for (const secret of [key.id, key.accountId, key.secret]) expect(text).not.toContain(secret);
  const all = samplesIn(text);
  expect(all.length).toBeLessThanOrEqual(4_000);
  const ofModel = all.filter(({ labels }) => (labels['model'] ?? labels['gen_ai_request_model']) === MODEL);
  expect(ofModel.length).toBeLessThanOrEqual(250);
});

it('lets nobody guess at tokens on and on, by whichever path, and counts every try', async () => {
  const guessed = await startGateway({ env: { ADMIN_TOKEN: TOKEN, TRUSTED_PROXIES: '127.0.0.1' } });
  const from = { 'x-forwarded-for': '203.0.113.9' };
  const shown = (token: string, headers = {}) =>
    fetch(`${guessed.url}/metrics`, { headers: { authorization: `Bearer ${token}`, ...headers } });
  const signIn = (token: string) =>
    fetch(`${guessed.url}/admin/sign-in`, { method: 'POST', body: new URLSearchParams({ token }), redirect: 'manual', headers: from });
  try {
    expect((await signIn(TOKEN)).status).toBe(303);
    // Who shows nothing guesses nothing.
    for (let n = 0; n < 12; n++) expect((await fetch(`${guessed.url}/metrics`, { headers: from })).status).toBe(401);
    const tries = [];
    for (let n = 0; n < 5; n++) tries.push((await signIn(`guess-${n}`)).status, (await shown(`guess-${n}`, from)).status);
    expect(tries).toEqual(Array.from({ length: 10 }, () => 401));
    const refused = [await shown(TOKEN, from), await signIn(TOKEN), await shown('guess', from)];
    expect(refused.map(({ status }) => status)).toEqual([429, 429, 429]);
    expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(500);
    const counted = samplesIn(await (await shown(TOKEN)).text());
    expect(find(counted, 'pura_sign_ins_total', { how: 'admin', result: 'ok' })).toBe(1);
    expect(find(counted, 'pura_sign_ins_total', { how: 'admin', result: 'refused' })).toBe(13);
    expect(find(counted, 'pura_refusals_total', { limit: 'sign_in' })).toBe(3);
  } finally {
    await guessed.close();
  }
});
