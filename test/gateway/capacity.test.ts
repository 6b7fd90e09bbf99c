import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startFakeRpcNode, tellingPool, RPC_KEY, type FakeRpcNode, type PoolState } from '../support/fake-rpc-node.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { until } from '../support/until.ts';

const LEFT = `0x${'a1'.repeat(20)}`;
const RIGHT = `0x${'b2'.repeat(20)}`;
const POOL = `0x${'fa'.repeat(20)}`;

const chain: PoolState = { block: 1, units: { [LEFT]: 10n, [RIGHT]: 40n } };
let node: FakeRpcNode;
let upstream: FakeProvider;
let gateway: TestGateway;

beforeAll(async () => {
  [node, upstream] = await Promise.all([startFakeRpcNode(tellingPool(chain)), startFakeProvider()]);
  const members = { left: LEFT, right: RIGHT };
  gateway = await startGateway({
    deployments: ['left', 'right'].map((id) => upstream.deployment({ id })),
    config: { capacity: { pool: { address: POOL, rpcUrls: [node.url], chainId: 84_532, members, refreshSeconds: 0.05 } } },
  });
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([node.close(), upstream.close()]);
});

async function capacity(): Promise<unknown> {
  const text = await (await gateway.get('/api/status')).text();
  expect(text).not.toContain(RPC_KEY);
  return (JSON.parse(text) as { capacity: unknown }).capacity;
}
const fromChain = (weights: Record<string, number>, block: number) =>
  expect.objectContaining({ source: 'chain', chainId: 84_532, pool: POOL, block, stale: false, reason: null, weights });

it('the status tells the units of the chain as weights, and keeps up with them', async () => {
  await until(async () => ((await capacity()) as { block?: number }).block === 1);
  expect(await capacity()).toEqual(fromChain({ left: 0.25, right: 1 }, 1));
  Object.assign(chain, { block: 2, units: { [LEFT]: 10n, [RIGHT]: 2n } });
  await until(async () => ((await capacity()) as { block?: number }).block === 2);
  expect(await capacity()).toEqual(fromChain({ left: 1, right: 0.2 }, 2));
});

it('the provider with the units serves, among equals', async () => {
  const key = await gateway.newKey();
  const serving = async (block: number, units: PoolState['units']): Promise<Set<string | null>> => {
    Object.assign(chain, { block, units });
    await until(async () => ((await capacity()) as { block?: number }).block === block);
    const body = { model: 'auto', messages: [{ role: 'user', content: 'Hello' }], routing: { cost_weight: 1 } };
    const answers = await Promise.all(Array.from({ length: 5 }, () => gateway.post('/v1/chat/completions', body, key)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    return new Set(answers.map(({ headers }) => headers.get('x-pura-provider')));
  };
  expect(await serving(3, { [LEFT]: 0n, [RIGHT]: 40n })).toEqual(new Set(['right']));
  expect(await serving(4, { [LEFT]: 40n, [RIGHT]: 0n })).toEqual(new Set(['left']));
});
