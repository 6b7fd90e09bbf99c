import { describe, expect, it } from '@jest/globals';
import type { Request } from 'express';
import { createServer, request, type ClientRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { GatewayError } from '../../../src/errors.ts';
import { readBody } from '../../../src/http/server/json-body.ts';

const LIMIT = 1000;

/** Sends a body in pieces of unknown total length; gives what the server read, or the code of its refusal. */
async function send(write: (client: ClientRequest) => void): Promise<string> {
  let done: (read: string) => void = () => {};
  const read = new Promise<string>((resolve) => (done = resolve));
  const server = createServer((req, res) => {
    void readBody(req as Request, LIMIT)
      .then(
        (body) => done(body.toString()),
        (error: unknown) => done((error as GatewayError).code),
      )
      .finally(() => res.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', method: 'POST', agent: false });
  client.on('error', () => {});
  client.on('response', (response) => response.resume());
  write(client);
  try {
    return await read;
  } finally {
    client.destroy();
    server.close();
    server.closeAllConnections();
  }
}

describe('readBody', () => {
  it('joins what arrives in pieces', async () => {
    const text = await send((client) => {
      for (const piece of ['{"a":', '"é', '"}']) client.write(piece);
      client.end();
    });
    expect(text).toBe('{"a":"é"}');
  });

  it('takes exactly the limit', async () => {
    expect(await send((client) => client.end('x'.repeat(LIMIT)))).toHaveLength(LIMIT);
  });

  it('refuses more, announced or not', async () => {
    expect(await send((client) => client.end('x'.repeat(LIMIT + 1)))).toBe('request_too_large');
    const unannounced = send((client) => {
      for (let i = 0; i <= LIMIT; i++) client.write('x');
      client.end();
    });
    expect(await unannounced).toBe('request_too_large');
  });

  it('ends with the connection where the client breaks off', async () => {
    const broken = send((client) => {
      client.setHeader('Content-Length', 100);
      client.write('half', () => client.destroy());
    });
    expect(await broken).toBe('invalid_request');
  });
});
