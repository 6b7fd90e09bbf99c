import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { CapacityWeights } from '../../src/capacity/capacity-weights.ts';
import { pauseAfter } from '../../src/capacity/pool-watch.ts';
import type { CapacityConfig, CapacityPoolConfig } from '../../src/config/capacity-config.ts';
import { createLog } from '../../src/log.ts';
import { RPC_KEY, startFakeRpcNode, tellingPool, type FakeRpcNode, type PoolState, type RpcRequest } from '../support/fake-rpc-node.ts';
import { until } from '../support/until.ts';

const MEMBERS = { openai: `0x${'a1'.repeat(20)}`, anthropic: `0x${'b2'.repeat(20)}` };
const REFRESH_SECONDS = 60;

type Answer = FakeRpcNode['answer'];

const unitsOf = (openai: bigint, anthropic: bigint) => ({ [MEMBERS.openai]: openai, [MEMBERS.anthropic]: anthropic });
const failing: Answer = (_batch, res) => void res.writeHead(500).end();

let chain: PoolState;
let node: FakeRpcNode;
let clock: { ms: number };
let log: string[];
let opened: CapacityWeights[];
/** Chance is asked for once a pause. */
let pauses: number;

beforeEach(async () => {
  chain = { block: 100, units: unitsOf(30n, 60n) };
  node = await startFakeRpcNode(tellingPool(chain));
  clock = { ms: 1_000_000 };
  log = [];
  opened = [];
  pauses = 0;
});
afterEach(async () => {
  await Promise.all(opened.map((weights) => weights.close()));
  await node.close();
});

const poolAt = (changes: Partial<CapacityPoolConfig> = {}): CapacityPoolConfig => ({
  address: `0x${'fa'.repeat(20)}`,
  rpcUrls: [node.url],
  chainId: 84_532,
  members: MEMBERS,
  refreshSeconds: REFRESH_SECONDS,
  ...changes,
});
function open(config: CapacityConfig | undefined, providers = Object.keys(MEMBERS)): CapacityWeights {
  const weights = new CapacityWeights(config, {
    log: createLog('info', { write: (line) => log.push(line) }),
    providerIds: () => providers,
    now: () => clock.ms,
    random: () => {
      pauses++;
      return 0.5;
    },
  });
  opened.push(weights);
  return weights;
}
/** Waits for what the network brings, where the clock stands still. */
async function come(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`it did not come: ${String(condition)}`);
    await new Promise(setImmediate);
  }
}
const messages = () => log.map((line) => (JSON.parse(line) as { msg: string }).msg);

const FROM_POOL = { openai: 0.5, anthropic: 1 };
const EQUAL = { openai: 1, anthropic: 1 };

describe('without a pool', () => {
  it('all providers are alike where nothing is configured', () => {
    const weights = open(undefined);
    expect(weights.status()).toEqual({
      ...{ source: 'equal', chainId: null, pool: null, updatedAt: null, stale: false },
      ...{ reason: 'no capacities are configured', weights: EQUAL },
    });
    expect(weights.capacityOf('any')).toBe(1);
  });

  it('they are in the proportions that the operator gave, and one that is not named comes last', () => {
    const weights = open({ weights: { openai: 3, anthropic: 12, groq: 0 } }, ['openai', 'anthropic', 'groq', 'demo']);
    const proportions = { openai: 0.25, anthropic: 1, groq: 0, demo: 0 };
    expect(weights.status()).toMatchObject({ source: 'configured', stale: false, reason: null, weights: proportions });
    expect(log).toEqual([]);
  });

  it('a name that is no configured provider is told of in the log', () => {
    open({ weights: { openai: 1, moonshot: 2 } });
    expect(log.map((line) => JSON.parse(line) as unknown)).toEqual([expect.objectContaining({ level: 40, providers: ['moonshot'] })]);
  });
});

describe('a pool that cannot be read', () => {
  it('leaves all providers alike from the start, and the status tells why', async () => {
    node.answer = failing;
    const weights = open({ pool: poolAt() });
    expect(weights.status()).toMatchObject({ source: 'equal', stale: false, reason: 'not read yet', weights: EQUAL });
    await weights.refresh();
    const reason = 'not read yet: node 1: it answered with the status 500';
    expect(weights.status()).toMatchObject({ source: 'equal', updatedAt: null, reason, weights: EQUAL });
  });

  it('leaves the units of before in force, until they are too old', async () => {
    const weights = open({ pool: poolAt() });
    await weights.refresh();
    const { updatedAt } = weights.status();
    node.answer = failing;
    clock.ms += 10 * REFRESH_SECONDS * 1000;
    await weights.refresh();
    const reason = (seconds: number) => `last read ${seconds} s ago: node 1: it answered with the status 500`;
    const before = { block: 100, updatedAt, stale: true };
    expect(weights.status()).toMatchObject({ source: 'chain', ...before, reason: reason(600), weights: FROM_POOL });

    clock.ms += 1_000;
    expect(weights.status()).toMatchObject({ source: 'equal', ...before, reason: reason(601), weights: EQUAL });
    node.answer = tellingPool(chain);
    await weights.refresh();
    expect(weights.status()).toMatchObject({ source: 'chain', stale: false, reason: null, weights: FROM_POOL });
  });

  it('is no longer believed where nobody has read it for too long, for whatever reason', async () => {
    const weights = open({ pool: poolAt() });
    await weights.refresh();
    clock.ms += 10 * REFRESH_SECONDS * 1000 + 1;
    expect(weights.status()).toMatchObject({ source: 'equal', stale: true, reason: 'last read 600 s ago', weights: EQUAL });
  });

  it('is asked for at the next node, and only there', async () => {
    const other = await startFakeRpcNode(tellingPool(chain));
    node.answer = failing;
    const weights = open({ pool: poolAt({ rpcUrls: [node.url, other.url] }) });
    await weights.refresh();
    expect([weights.status().reason, node.asked.length, other.asked.length]).toEqual([null, 1, 2]);
    node.answer = tellingPool(chain);
    await weights.refresh();
    expect([node.asked.length, other.asked.length]).toEqual([3, 2]);
    node.answer = failing;
    other.answer = (_batch, res) => void res.end('{}');
    await weights.refresh();
    expect(weights.status().reason).toBe('last read 0 s ago: node 1: it answered with the status 500; node 2: the answer is no batch');
    await other.close();
  });

  it('is logged once, and once it can be read again', async () => {
    const weights = open({ pool: poolAt() });
    for (const answer of [failing, failing, tellingPool(chain), tellingPool(chain), failing, failing]) {
      node.answer = answer;
      await weights.refresh();
    }
    clock.ms += 10 * REFRESH_SECONDS * 1000 + 1;
    await weights.refresh();
    await weights.refresh();
    expect(messages()).toEqual([
      'capacity weights are equal',
      'capacity weights are the units of the pool',
      'capacity weights are of before',
      'capacity weights are equal',
    ]);
    expect(log.join('') + JSON.stringify(weights.status())).not.toContain(RPC_KEY);
    expect(log.join('')).not.toContain('127.0.0.1');
  });

  it('is not believed by a node that is behind, as long as newer units are good', async () => {
    const weights = open({ pool: poolAt() });
    await weights.refresh();
    node.answer = tellingPool({ block: 99, units: unitsOf(1n, 0n) });
    await weights.refresh();
    expect(weights.status()).toMatchObject({ block: 100, stale: true, reason: expect.stringContaining('behind'), weights: FROM_POOL });
    clock.ms += 10 * REFRESH_SECONDS * 1000 + 1;
    await weights.refresh();
    expect(weights.status()).toMatchObject({ block: 99, stale: false, reason: null, weights: { openai: 1, anthropic: 0 } });
  });
});

describe('the background', () => {
  it('has one read under way however many ask', async () => {
    const weights = open({ pool: poolAt() });
    await Promise.all(Array.from({ length: 20 }, () => weights.refresh()));
    expect(node.asked).toHaveLength(2);
    await weights.refresh();
    expect(node.asked).toHaveLength(4);
  });

  it('reads at once and again and again, and no more once it is closed', async () => {
    const weights = open({ pool: poolAt({ refreshSeconds: 0.001 }) });
    weights.start();
    await until(() => weights.status().source === 'chain');
    chain.units = unitsOf(60n, 60n);
    await until(() => weights.capacityOf('openai') === 1 && node.asked.length >= 8);
    await weights.close();
    node.answer = failing;
    await weights.refresh();
    expect(weights.status()).toMatchObject({ source: 'chain', stale: false, reason: null });
  });

  it.each([
    ['after a read', 0, 60_000],
    ['after a failure', 1, 5_000],
    ['after a second', 2, 10_000],
    ['after a third', 3, 20_000],
    ['after a seventh', 7, 300_000],
    ['after a thousand', 2_000, 300_000],
  ])('waits %s, a tenth more or less', (_when, failures, pauseMs) => {
    const chances = [0, 0.5, 1].map((chance) => Math.round(pauseAfter(failures, 60_000, chance)));
    expect(chances).toEqual([pauseMs * 0.9, pauseMs, pauseMs * 1.1]);
  });

  it('asks again after a pause, a longer one after each failure, and no pool of before', async () => {
    jest.useFakeTimers({ doNotFake: ['performance', 'queueMicrotask', 'nextTick', 'setImmediate', 'Date'] });
    try {
      node.answer = failing;
      const weights = open({ pool: poolAt() });
      weights.start();
      for (const [reads, pauseMs] of [5_000, 10_000, 20_000].entries()) {
        await come(() => pauses === reads + 1);
        await jest.advanceTimersByTimeAsync(pauseMs - 1);
        expect([node.asked.length, pauses]).toEqual([reads + 1, reads + 1]);
        if (reads === 2) node.answer = tellingPool(chain);
        await jest.advanceTimersByTimeAsync(1);
      }
      await come(() => pauses === 4);
      expect(weights.status()).toMatchObject({ source: 'chain', reason: null });
      node.answer = failing;
      await jest.advanceTimersByTimeAsync(REFRESH_SECONDS * 1000);
      await come(() => pauses === 5);
      await jest.advanceTimersByTimeAsync(5_000);
      await come(() => pauses === 6);
      const { length } = node.asked;
      weights.reconfigure({ weights: { openai: 1 } });
      await jest.advanceTimersByTimeAsync(3_600_000);
      expect([node.asked.length, pauses]).toEqual([length, 6]);
    } finally {
      jest.useRealTimers();
    }
  });

  it('makes no more pauses once it is closed in the middle of a read', async () => {
    node.answer = () => undefined;
    const weights = open({ pool: poolAt() });
    weights.start();
    await until(() => node.asked.length === 1);
    await weights.close();
    await new Promise(setImmediate);
    expect(pauses).toBe(0);
  });

  it('is given up in the middle of a read when it closes', async () => {
    node.answer = () => undefined;
    const weights = open({ pool: poolAt() });
    const read = weights.refresh();
    await until(() => node.asked.length === 1);
    await weights.close();
    await read;
    expect(weights.status()).toMatchObject({ source: 'equal', reason: 'not read yet' });
    expect(log).toEqual([]);
  });
});

describe('another configuration', () => {
  it('that says the same changes nothing', async () => {
    const weights = open({ pool: poolAt() });
    weights.start();
    await until(() => weights.status().source === 'chain');
    weights.reconfigure({ pool: poolAt() });
    expect([weights.status().source, node.asked.length]).toEqual(['chain', 2]);
  });

  it('takes the place of the one before, whose answer comes too late', async () => {
    const held: { batch: RpcRequest[]; res: ServerResponse }[] = [];
    node.answer = (batch, res) => held.push({ batch, res });
    const weights = open({ pool: poolAt() });
    weights.start();
    await until(() => held.length === 1);
    weights.reconfigure({ weights: { openai: 4, anthropic: 1 } });
    for (const { batch, res } of held) tellingPool(chain)(batch, res);
    await weights.refresh();
    expect(weights.status()).toMatchObject({ source: 'configured', pool: null, weights: { openai: 1, anthropic: 0.25 } });

    node.answer = tellingPool(chain);
    weights.reconfigure({ pool: poolAt() });
    await until(() => weights.status().source === 'chain');
    weights.reconfigure(undefined);
    expect(weights.status()).toMatchObject({ source: 'equal', reason: 'no capacities are configured', weights: EQUAL });
  });
});
