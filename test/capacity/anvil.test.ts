import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CapacityWeights } from '../../src/capacity/capacity-weights.ts';
import { readSuperfluidPool } from '../../src/capacity/superfluid-pool.ts';
import type { CapacityPoolConfig } from '../../src/config/capacity-config.ts';
import { createLog } from '../../src/log.ts';
import { anvilProgram, deployPool, setUnits, startAnvil, type Anvil } from '../support/anvil.ts';

const POOL = `0x${'fa'.repeat(20)}`;
const OPENAI = `0x${'a1'.repeat(20)}`;
const ANTHROPIC = `0x${'b2'.repeat(20)}`;
const STRANGER = `0x${'c3'.repeat(20)}`;
const BASE_SEPOLIA = 84_532;
const LARGEST = (1n << 128n) - 1n;

const program = anvilProgram();
if (program === undefined) console.warn(`there is no anvil for ${process.platform} ${process.arch}: pools on a real chain are not tested`);

(program === undefined ? describe.skip : describe)('capacity weights from a chain', () => {
  let anvil: Anvil;
  const opened: CapacityWeights[] = [];

  beforeAll(async () => {
    anvil = await startAnvil(program ?? '', BASE_SEPOLIA);
    await deployPool(anvil, POOL);
  });
  afterAll(async () => {
    await Promise.all(opened.map((weights) => weights.close()));
    await anvil?.close();
  });

  function open(changes: Partial<CapacityPoolConfig> = {}): CapacityWeights {
    const members = { openai: OPENAI, anthropic: ANTHROPIC };
    const pool = { address: POOL, rpcUrls: [anvil.url], chainId: BASE_SEPOLIA, members, refreshSeconds: 60, ...changes };
    const weights = new CapacityWeights({ pool }, { log: createLog('silent'), providerIds: () => ['openai', 'anthropic', 'groq'] });
    opened.push(weights);
    return weights;
  }
  const read = (changes: { address?: string; chainId?: number } = {}) =>
    readSuperfluidPool(
      { address: POOL, chainId: BASE_SEPOLIA, members: [OPENAI, ANTHROPIC], ...changes },
      { url: anvil.url, signal: AbortSignal.timeout(20_000), timeoutMs: 5_000, pauseMs: 1 },
    );

  it('are the units of the members, and follow them', async () => {
    await setUnits(anvil, POOL, 400n, { [OPENAI]: 300n, [ANTHROPIC]: 75n });
    const weights = open();
    await weights.refresh();
    const block = Number(await anvil.call('eth_blockNumber')) - 5;
    const first = { openai: 1, anthropic: 0.25, groq: 0 };
    expect(weights.status()).toMatchObject({ source: 'chain', chainId: BASE_SEPOLIA, pool: POOL, block, reason: null, weights: first });

    await setUnits(anvil, POOL, 400n, { [OPENAI]: 50n, [ANTHROPIC]: 200n });
    expect(weights.capacityOf('openai')).toBe(1);
    await weights.refresh();
    const second = { openai: 0.25, anthropic: 1, groq: 0 };
    expect(weights.status()).toMatchObject({ source: 'chain', block: block + 6, stale: false, weights: second });
  });

  it('are those of one block, also where the units change meanwhile', async () => {
    await setUnits(anvil, POOL, LARGEST, { [OPENAI]: LARGEST, [ANTHROPIC]: 0n });
    const { block, total, unitsOf } = await read();
    await setUnits(anvil, POOL, 1n, { [OPENAI]: 1n });
    expect([total, unitsOf.get(OPENAI), unitsOf.get(ANTHROPIC)]).toEqual([LARGEST, LARGEST, 0n]);
    expect(Number(await anvil.call('eth_blockNumber'))).toBe(block + 11);
  });

  it.each([
    ['the pool has no units', 0n, { [OPENAI]: 0n, [ANTHROPIC]: 0n }],
    ['no provider has units in the pool', 9n, { [OPENAI]: 0n, [ANTHROPIC]: 0n, [STRANGER]: 9n }],
  ])('are equal where %s, and the status says so', async (reason, total, units) => {
    await setUnits(anvil, POOL, total, units);
    const weights = open();
    await weights.refresh();
    expect(weights.status()).toMatchObject({ source: 'equal', stale: false, reason, weights: { openai: 1, anthropic: 1, groq: 1 } });
  });

  it.each([
    ['of another chain', { chainId: 8453 }, `it is a node of chain ${BASE_SEPOLIA}, not 8453`],
    ['where no contract is', { address: STRANGER }, 'no pool is at the address'],
  ])('are not read from a pool %s', async (_what, changes, message) => {
    await expect(read(changes)).rejects.toThrow(message);
  });

  it('are not read where the members have more units than the pool, or one more than units can be', async () => {
    await setUnits(anvil, POOL, 10n, { [OPENAI]: 6n, [ANTHROPIC]: 5n });
    await expect(read()).rejects.toThrow('more units together');
    await setUnits(anvil, POOL, LARGEST, { [OPENAI]: LARGEST + 1n, [ANTHROPIC]: 0n });
    await expect(read()).rejects.toThrow('larger than units can be');
  });
});
