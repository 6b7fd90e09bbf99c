import { gzipSync } from 'node:zlib';
import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { readSuperfluidPool } from '../../src/capacity/superfluid-pool.ts';
import { startFakeRpcNode, RPC_KEY, type FakeRpcNode, type RpcRequest } from '../support/fake-rpc-node.ts';

const POOL = `0x${'fa'.repeat(20)}`;
const [FIRST, SECOND] = ['0x00000000000000000000000000000000000000a1', `0x${'b2'.repeat(20)}`];
const CHAIN_ID = 84_532;
const NEWEST = '0x1c9c385';
const BLOCK = '0x1c9c380';

const word = (value: bigint | number) => `0x${value.toString(16).padStart(64, '0')}`;
/** What a sound node says of the first member, the second, and the pool. */
const SOUND: Record<string, string> = { first: word(30), second: word(12), total: word(100) };

function resultOf({ method, params }: RpcRequest): unknown {
  if (method === 'eth_chainId') return '0x14a34';
  if (method === 'eth_blockNumber') return NEWEST;
  const { data } = params[0] as { data: string };
  return data === '0xa754a702' ? SOUND['total'] : data.endsWith('a1') ? SOUND['first'] : SOUND['second'];
}
type Result = Record<string, unknown>;
const sound = (batch: RpcRequest[]): Result[] => batch.map((call) => ({ jsonrpc: '2.0', id: call.id, result: resultOf(call) }));
const json = (res: ServerResponse, value: unknown): void => {
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
};
/** A node that is sound but for what is changed: of the answer to the calls of the pool, or to all. */
type Change = (results: Result[]) => unknown;
const answering =
  (change: Change): FakeRpcNode['answer'] =>
  (batch, res) =>
    json(res, batch[0]?.method === 'eth_call' ? change(sound(batch)) : sound(batch));
/** The total is the first of the pool's results, then come the members'. */
const withResult = (result: unknown, at = 0) =>
  answering((results) => results.map((one, index) => (index === at ? { ...one, result } : one)));

let node: FakeRpcNode;
beforeAll(async () => {
  node = await startFakeRpcNode((batch, res) => json(res, sound(batch)));
});
afterEach(() => {
  node.asked.length = 0;
  node.answer = (batch, res) => json(res, sound(batch));
});
afterAll(() => node.close());

const read = ({ timeoutMs = 5_000, members = [FIRST, SECOND] } = {}) =>
  readSuperfluidPool(
    { chainId: CHAIN_ID, address: POOL, members },
    { url: node.url, signal: AbortSignal.timeout(20_000), timeoutMs, pauseMs: 1 },
  );

describe('the calls', () => {
  const selector = (signature: string) => Buffer.from(keccak_256(signature)).toString('hex', 0, 4);

  it('are those of the contract, byte by byte, five blocks behind the newest', async () => {
    await read();
    const at = (id: number, data: string) => ({ jsonrpc: '2.0', id, method: 'eth_call', params: [{ to: POOL, data }, BLOCK] });
    expect(node.asked).toEqual([
      [
        { jsonrpc: '2.0', id: 0, method: 'eth_chainId', params: [] },
        { jsonrpc: '2.0', id: 1, method: 'eth_blockNumber', params: [] },
      ],
      [
        at(0, '0xa754a702'),
        at(1, '0x0fefbc0900000000000000000000000000000000000000000000000000000000000000a1'),
        at(2, '0x0fefbc09000000000000000000000000b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2'),
      ],
    ]);
    expect([selector('getTotalUnits()'), selector('getUnits(address)')]).toEqual(['a754a702', '0fefbc09']);
  });

  it.each<[string, FakeRpcNode['answer']]>([
    ['in their order', (batch, res) => json(res, sound(batch))],
    ['in any order', (batch, res) => json(res, sound(batch).reverse())],
    ['with an error that is null', answering((results) => results.map((one) => ({ ...one, error: null })))],
    ['compressed', (batch, res) => res.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(JSON.stringify(sound(batch))))],
  ])('are understood where they are answered %s', async (_how, answer) => {
    node.answer = answer;
    const { block, total, unitsOf } = await read();
    expect([block, total, unitsOf.get(FIRST), unitsOf.get(SECOND)]).toEqual([30_000_000, 100n, 30n, 12n]);
  });
});

describe('a rate limit', () => {
  const limited = (id: number, code: number): Result => ({ jsonrpc: '2.0', id, error: { code, message: 'over rate limit' } });
  /** Answers so many calls of a batch, and has no room for the others. */
  const withRoomFor =
    (room: number, code = -32_016): FakeRpcNode['answer'] =>
    (batch, res) =>
      json(
        res,
        sound(batch).map((one, index) => (index < room ? one : limited(index, code))),
      );
  const many = Array.from({ length: 24 }, (_, index) => `0x${(index + 16).toString(16).padStart(40, '0')}`);

  it('of a batch is kept: no more than ten calls are in one', async () => {
    SOUND['total'] = word(1_000);
    const { unitsOf } = await read({ members: many });
    SOUND['total'] = word(100);
    expect([...unitsOf]).toEqual(many.map((member) => [member, member.endsWith('a1') ? 30n : 12n]));
    expect(node.asked.map(({ length }) => length)).toEqual([2, 10, 10, 5]);
  });

  it.each([
    ['proxyd', -32_016],
    ['EIP-1474', -32_005],
  ])('of calls, as %s says it, only makes the read take longer', async (_whose, code) => {
    node.answer = withRoomFor(1, code);
    const { unitsOf, total } = await read();
    expect([total, unitsOf.get(FIRST), unitsOf.get(SECOND)]).toEqual([100n, 30n, 12n]);
    expect(
      node.asked.map((batch) => batch.map(({ method, params: [call] }) => (call as { data?: string })?.data?.slice(-2) ?? method)),
    ).toEqual([['eth_chainId', 'eth_blockNumber'], ['eth_blockNumber'], ['02', 'a1', 'b2'], ['a1', 'b2'], ['b2']]);
  });

  it('without room for any call is a failure', async () => {
    node.answer = withRoomFor(0);
    await expect(read()).rejects.toThrow('over its rate limit');
    expect(node.asked).toHaveLength(1);
  });
});

describe('a bad answer', () => {
  const first = (change: (results: Result[]) => unknown): FakeRpcNode['answer'] => {
    return (batch, res) => json(res, batch[0]?.method === 'eth_call' ? sound(batch) : change(sound(batch)));
  };
  it.each<[string, FakeRpcNode['answer'], string]>([
    ['another chain', first(([, two]) => [{ jsonrpc: '2.0', id: 0, result: '0x1' }, two]), 'a node of chain 1, not 84532'],
    ['no chain id', first(([, two]) => [{ jsonrpc: '2.0', id: 0, result: 84_532 }, two]), 'eth_chainId has no number'],
    ['a block with leading zeros', first(([one]) => [one, { jsonrpc: '2.0', id: 1, result: '0x01' }]), 'eth_blockNumber has no number'],
    ['a block beyond all numbers', first(([one]) => [one, { jsonrpc: '2.0', id: 1, result: '0xffffffffffffffff' }]), 'has no number'],
    ['no contract', withResult('0x'), 'no pool is at the address'],
    ['a short word', withResult(word(5).slice(0, -2)), 'not of 32 bytes'],
    ['a long word', withResult(`${word(5)}00`), 'not of 32 bytes'],
    ['a word of another alphabet', withResult(word(5).replace('5', 'g')), 'not of 32 bytes'],
    ['a number', withResult(5), 'not of 32 bytes'],
    ['null', withResult(null), 'not of 32 bytes'],
    ['no result', answering((results) => results.map(({ result: _result, ...rest }) => rest)), 'not of 32 bytes'],
    ['more than a uint128', withResult(word(1n << 128n)), 'larger than units can be'],
    ['a negative number', withResult(`0x${'f'.repeat(64)}`, 1), 'larger than units can be'],
    ['members above the total', withResult(word(89), 2), 'more units together'],
    ['one call too few', answering((results) => results.slice(1)), '2 results for 3 calls'],
    ['one call too many', answering((results) => [...results, { jsonrpc: '2.0', id: 3, result: word(1) }]), '4 results for 3 calls'],
    ['one call twice', answering(([one, two]) => [one, two, two]), 'two results are for the same call'],
    ['another id', answering(([one, two]) => [one, two, { jsonrpc: '2.0', id: 7, result: word(1) }]), 'eth_call has no result'],
    ['an id that is text', answering(([one, two]) => [one, two, { jsonrpc: '2.0', id: '2', result: word(1) }]), 'eth_call has no result'],
    ['another version', answering(([one, two]) => [one, two, { id: 2, result: word(1) }]), 'not of JSON-RPC 2.0'],
    ['null for a call', answering(([one, two]) => [one, two, null]), 'not of JSON-RPC 2.0'],
    [
      'an error',
      answering(([one, two]) => [one, two, { jsonrpc: '2.0', id: 2, error: { code: -32000, message: RPC_KEY } }]),
      '(error -32000)',
    ],
    ['an error and a result', answering(([one, ...rest]) => [{ ...one, error: { code: 3 } }, ...rest]), 'a call failed (error 3)'],
    [
      'one error for all',
      answering(() => ({ jsonrpc: '2.0', id: null, error: { code: -32600, message: RPC_KEY } })),
      'no batch (error -32600)',
    ],
    ['no array', answering(() => 'no'), 'no batch'],
    ['no JSON', (_batch, res) => res.end('<html>'), 'no JSON'],
    ['nothing', (_batch, res) => res.end(), 'no JSON'],
    ['nothing but brackets', (_batch, res) => res.end('['.repeat(500_000)), 'no JSON'],
    [
      'a gzip bomb',
      (_batch, res) => res.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(50_000_000))),
      'too long',
    ],
    ['what only says that it is gzip', (_batch, res) => res.writeHead(200, { 'content-encoding': 'gzip' }).end('[]'), 'cannot be decoded'],
    ['another coding', (_batch, res) => res.writeHead(200, { 'content-encoding': 'br' }).end('[]'), 'coding that was not asked for'],
    ['a redirect', (_batch, res) => res.writeHead(307, { location: `${node.url}/else` }).end(), 'the status 307'],
    ['a limit', (_batch, res) => res.writeHead(429, { 'retry-after': '1' }).end(RPC_KEY), 'the status 429'],
    ['another success', (batch, res) => res.writeHead(203).end(JSON.stringify(sound(batch))), 'the status 203'],
    ['a broken connection', (_batch, res) => res.destroy(), 'cannot be reached'],
    ['half an answer', (_batch, res) => res.writeHead(200, { 'content-length': '9' }).write('[', () => res.destroy()), 'cannot be reached'],
  ])('is refused: %s', async (_what, answer, message) => {
    node.answer = answer;
    const error = await read().then(
      () => null,
      (reason: unknown) => reason as Error,
    );
    expect([error?.name, error?.message]).toEqual(['NodeError', expect.stringContaining(message)]);
    expect(String(error?.stack)).not.toContain(RPC_KEY);
    expect(node.asked.length).toBeLessThanOrEqual(2);
  });

  it('is refused before it is too long for the memory', async () => {
    const sent = { bytes: 0 };
    node.answer = (_batch, res) => endless(res, sent);
    await expect(read()).rejects.toThrow('too long');
    expect(sent.bytes).toBeLessThan(32 * 1024 * 1024);
  });

  it.each<[string, FakeRpcNode['answer']]>([
    ['says nothing', () => undefined],
    ['begins and does not end', (_batch, res) => void res.writeHead(200).write('[')],
  ])('is not waited for where the node %s', async (_what, answer) => {
    node.answer = answer;
    await expect(read({ timeoutMs: 50 })).rejects.toThrow('did not answer in time');
  });
});

/** Sends for ever, and counts. */
function endless(res: ServerResponse, sent: { bytes: number }): void {
  const piece = Buffer.alloc(64 * 1024, ' ');
  const more = (): void => {
    do sent.bytes += piece.length;
    while (!res.destroyed && res.write(piece));
  };
  res.on('drain', more).on('error', () => undefined);
  more();
}
