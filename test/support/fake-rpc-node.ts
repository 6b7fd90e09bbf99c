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
