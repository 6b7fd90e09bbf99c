import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';

const WIRES = ['openai-chat', 'openai-responses', 'anthropic-messages', 'gemini-generate'] as const;
const turn = { messages: [{ role: 'user', content: 'hi' }] };
/** How each surface ends a stream. */
const SURFACES = [
  { path: '/v1/chat/completions', body: turn, last: /^data: \[DONE\]$/ },
  { path: '/v1/completions', body: { prompt: 'hi' }, last: /^data: \[DONE\]$/ },
  { path: '/v1/responses', body: { input: 'hi' }, last: /^data: \{"type":"response\.completed"/ },
  { path: '/v1/messages', body: { ...turn, max_tokens: 50 }, last: /^data: \{"type":"message_stop"\}$/ },
];
const CHARGED_MSAT = 20;

let upstream: FakeUpstream;
let gateway: TestGateway;

beforeAll(async () => {
  upstream = await startFakeUpstream();
  gateway = await startGateway({ deployments: WIRES.map((wire) => upstream.deployment(wire)), env: { FREE_TIER_REQUESTS: '0' } });
});

afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});

async function chargesOf(key: TestKey): Promise<number[]> {
  const answer = await gateway.get('/api/wallet/transactions?limit=100', key);
  const { transactions } = (await answer.json()) as { transactions: { kind: string; amountMsat: number }[] };
  return transactions.filter(({ kind }) => kind === 'charge').map(({ amountMsat }) => amountMsat);
}

describe('a stream that is asked for again with its Idempotency-Key', () => {
  const cases = SURFACES.flatMap((surface) => WIRES.map((wire) => ({ ...surface, wire })));

  it.each(cases)('$path from $wire: is the same to the last byte, and charged once', async ({ path, body, last, wire }) => {
    const key = await gateway.newKey();
    await gateway.fund(key, 100);
    const send = () => gateway.post(path, { ...body, model: `pureai/${wire}`, stream: true }, key, { 'idempotency-key': 'once' });
    const before = upstream.requests.length;
    const [first, again] = [await (await send()).text(), await send()];
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(await again.text()).toBe(first);
    expect(first.match(/^: pura \{.*"charged_msat":20,/gm)).toHaveLength(1);
    expect(first.trimEnd().split('\n').at(-1)).toMatch(last);
    expect(upstream.requests).toHaveLength(before + 1);
    expect(await chargesOf(key)).toEqual([-CHARGED_MSAT]);
  });
});
