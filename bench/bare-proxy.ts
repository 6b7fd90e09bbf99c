import { createServer, type ServerResponse } from 'node:http';
import { Pool, type Dispatcher } from 'undici';
import { announce } from './child.ts';

/**
 * The least a Node proxy can do: read the body, send it on, hand the answer back as it arrives. No keys, no checks, no
 * money. `node bench/bare-proxy.ts <origin of the provider>`
 */
const pool = new Pool(process.argv[2] ?? '', { connections: null, pipelining: 1 });

class Passage implements Dispatcher.DispatchHandler {
  readonly #res: ServerResponse;

  constructor(res: ServerResponse) {
    this.#res = res;
  }

  onRequestStart(): void {}

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[]>): void {
    // Of this connection to the provider, not of the client's.
    delete headers['connection'];
    delete headers['keep-alive'];
    this.#res.on('drain', () => controller.resume());
    this.#res.writeHead(status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#res.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.#res.end();
  }

  onResponseError(): void {
    this.#res.destroy();
  }
}

const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    const headers = { 'content-type': 'application/json' };
    pool.dispatch({ method: 'POST', path: req.url ?? '/', headers, body: Buffer.concat(chunks) }, new Passage(res));
  });
});

announce(server);
