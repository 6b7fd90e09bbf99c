import { callAll, NodeError, type RpcCall, type RpcNode } from './json-rpc.ts';

/** A Superfluid GDA pool and those of its members that are asked about. */
export interface SuperfluidPool {
  readonly chainId: number;
  /** In small letters, as those of the members. */
  readonly address: string;
  readonly members: readonly string[];
}

/** The units at one block. */
export interface PoolUnits {
  readonly block: number;
  readonly unitsOf: ReadonlyMap<string, bigint>;
  /** Of all members, also those that were not asked about. */
  readonly total: bigint;
}

/** `getUnits(address)` and `getTotalUnits()` of Superfluid's `ISuperfluidPool`; both return a uint128. */
const GET_UNITS = '0x0fefbc09';
const GET_TOTAL_UNITS = '0xa754a702';
const UINT128_BOUND = 1n << 128n;

/** So many blocks behind the newest: the nodes behind one address do not all have that one yet, nor is it sure to stay. */
const BLOCKS_BEHIND = 5;

/**
 * Reads the pool's units from a node, all at one block: its calls may be answered by several nodes, at different times. Rejects with
 * `NodeError` where the node is of another chain, where no contract is at the address (its answer is empty), and for figures that cannot
 * be: none of a bad answer is used.
 */
export async function readSuperfluidPool(pool: SuperfluidPool, node: RpcNode): Promise<PoolUnits> {
  const [chainId, newest] = await callAll(node, [
    { method: 'eth_chainId', params: [] },
    { method: 'eth_blockNumber', params: [] },
  ]);
  const chain = quantityOf(chainId, 'eth_chainId');
  if (chain !== pool.chainId) throw new NodeError(`it is a node of chain ${chain}, not ${pool.chainId}`);
  const block = Math.max(0, quantityOf(newest, 'eth_blockNumber') - BLOCKS_BEHIND);

  const call = (data: string): RpcCall => ({ method: 'eth_call', params: [{ to: pool.address, data }, `0x${block.toString(16)}`] });
  const answers = await callAll(node, [call(GET_TOTAL_UNITS), ...pool.members.map((member) => call(getUnits(member)))]);
  const [total = 0n, ...units] = answers.map(unitsFrom);
  const sum = units.reduce((left, right) => left + right, 0n);
  if (sum > total) throw new NodeError('the members have more units together than the pool has');
  return { block, total, unitsOf: new Map(pool.members.map((member, index) => [member, units[index] ?? 0n])) };
}

/** The call's data: the function's selector, then the address as a word of 32 bytes. */
function getUnits(member: string): string {
  return GET_UNITS + member.slice(2).padStart(64, '0');
}

/** A JSON-RPC quantity: hex without leading zeros. */
function quantityOf(value: unknown, method: string): number {
  const quantity = typeof value === 'string' && /^0x(0|[1-9a-f][0-9a-f]{0,15})$/i.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(quantity)) throw new NodeError(`${method} has no number as its result`);
  return quantity;
}

/** A uint128 as the ABI encodes one: a word of 32 bytes. */
function unitsFrom(value: unknown): bigint {
  if (value === '0x') throw new NodeError('no pool is at the address');
  if (typeof value !== 'string' || !/^0x[0-9a-f]{64}$/i.test(value)) throw new NodeError('a figure is not of 32 bytes');
  const units = BigInt(value);
  if (units >= UINT128_BOUND) throw new NodeError('a figure is larger than units can be');
  return units;
}
