import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A loopback server that answers every request with the same, for clients that are to read it. */
export async function withCannedServer<Result>(
  contentType: string,
  body: string | Buffer,
  use: (baseUrl: string) => Promise<Result>,
): Promise<Result> {
  const server = createServer((req, res) => {
    req.resume().on('end', () => res.writeHead(200, { 'content-type': contentType }).end(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
