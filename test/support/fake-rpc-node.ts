import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface RpcRequest {
  readonly id: number;
  readonly method: string;
  readonly params: readonly unknown[];
}

/** A node that says what a test wants said. */
export interface FakeRpcNode {
  /** With a key in its path, as hosted nodes have it. */
  readonly url: string;
  /** The batches that came, in order. */
  readonly asked: RpcRequest[][];
  /** How the next batches are answered; by default as a sound node does. */
  answer: (batch: RpcRequest[], res: ServerResponse) => void;
  close(): Promise<void>;
}

export const RPC_KEY = 'canary-key';

/** Answers over HTTP on loopback. */
export async function startFakeRpcNode(answer: FakeRpcNode['answer']): Promise<FakeRpcNode> {
  const asked: RpcRequest[][] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const batch = JSON.parse(Buffer.concat(chunks).toString()) as RpcRequest[];
        asked.push(batch);
        node.answer(batch, res);
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const node: FakeRpcNode = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v3/${RPC_KEY}`,
    asked,
    answer,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return node;
}

/** What a chain holds of a pool. */
export interface PoolState {
  chainId?: number;
  /** The one that is read: five behind the newest. */
  block: number;
  /** By the members' addresses, in small letters. */
  units: Readonly<Record<string, bigint>>;
}

/** Answers as a sound node does, from what the state holds at that moment. The pool has no more units than its members. */
export function tellingPool(state: PoolState): FakeRpcNode['answer'] {
  return (batch, res) =>
    void res.end(JSON.stringify(batch.map((call) => ({ jsonrpc: '2.0', id: call.id, result: resultOf(call, state) }))));
}

const GET_TOTAL_UNITS = '0xa754a702';

function resultOf({ method, params }: RpcRequest, { chainId = 84_532, block, units }: PoolState): string {
  if (method === 'eth_chainId') return `0x${chainId.toString(16)}`;
  if (method === 'eth_blockNumber') return `0x${(block + 5).toString(16)}`;
  const { data } = params[0] as { data: string };
  const all = Object.values(units).reduce((left, right) => left + right, 0n);
  const told = data === GET_TOTAL_UNITS ? all : (units[`0x${data.slice(-40)}`] ?? 0n);
  return `0x${told.toString(16).padStart(64, '0')}`;
}
