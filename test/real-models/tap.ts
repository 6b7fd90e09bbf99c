import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** What passed between the gateway and the model server in one request. */
export interface Tapped {
  readonly path: string;
  readonly request: Record<string, unknown>;
  status: number;
  /** The bytes of the answer that came. */
  answer: string;
  /** Whether the answer came to its end. False where either side broke it off. */
  whole: boolean;
  /** Whether nothing more will come. */
  over: boolean;
}

/** A proxy that changes nothing and remembers everything: the test's own view of what the model server was asked and counted. */
export interface Tap {
  readonly baseUrl: string;
  readonly tapped: readonly Tapped[];
  close(): Promise<void>;
}

/** Puts one in front of the server at `baseUrl`. */
export async function startTap(baseUrl: string): Promise<Tap> {
  const tapped: Tapped[] = [];
  const server = createServer((req, res) => void relay(baseUrl, req, res, tapped));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    tapped,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function relay(baseUrl: string, req: IncomingMessage, res: ServerResponse, tapped: Tapped[]): Promise<void> {
  const body = await buffer(req);
  const path = req.url ?? '/';
  const seen: Tapped = { path, request: JSON.parse(body.toString()), status: 0, answer: '', whole: false, over: false };
  tapped.push(seen);
  const { connection: _connection, host: _host, ...headers } = req.headers;
  const upstream = request(baseUrl + path, { method: req.method, headers });
  res.once('close', () => {
    upstream.destroy();
    seen.over = true;
  });
  upstream.on('error', () => res.destroy());
  upstream.on('response', (answer) => {
    seen.status = answer.statusCode ?? 0;
    res.writeHead(seen.status, answer.headers);
    answer.on('data', (chunk: Buffer) => {
      seen.answer += chunk.toString('latin1');
      res.write(chunk);
    });
    answer.on('error', () => res.destroy());
    answer.on('end', () => {
      seen.whole = answer.complete;
      res.end();
    });
  });
  upstream.end(body);
}
