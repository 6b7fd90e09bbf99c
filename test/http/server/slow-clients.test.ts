import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Server } from 'node:http';
import { errorResponse } from '../../../src/http/server/error-response.ts';
import { createHttpServer } from '../../../src/http/server/http-server.ts';
import { readBody } from '../../../src/http/server/json-body.ts';

const LIMITS = { headersTimeout: 150, requestTimeout: 300, connectionsCheckingInterval: 25 };
const CONNECTIONS = 200;

let server: Server;
let port: number;
/** How the reading of bodies ended that did not come whole. */
let read: string[];

beforeEach(async () => {
  read = [];
  const app = express();
  app.post('/read', (req, res, next) => {
    readBody(req, 1_000).then(
      (body) => res.json({ length: body.length }),
      (error: Error) => {
        read.push(error.message);
        next(error);
      },
    );
  });
  app.use(errorResponse(() => {}));
  server = createHttpServer(app, LIMITS);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  port = (server.address() as AddressInfo).port;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** A client that sends `head` and then one byte of `rest` after the other; gives what it got until its connection was closed. */
async function drip(head: string, rest: string): Promise<string> {
  const socket: Socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString()));
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(head);
  let sent = 0;
  const dripping = setInterval(() => socket.write(rest[sent++ % rest.length] ?? ''), 20);
  await closed;
  clearInterval(dripping);
  return text;
}

const HEAD = 'POST /read HTTP/1.1\r\nHost: a\r\n';

describe(`${CONNECTIONS} clients that send slowly`, () => {
  it.each([
    ['never end their headers', HEAD, 'X-Slow: yes\r\n'],
    ['never end their body', `${HEAD}Content-Length: 900\r\n\r\n`, 'x'],
    ['never end a chunked body', `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, '1\r\nx\r\n'],
  ])('and %s are cut off, while others are served', async (_name, head, rest) => {
    const slow = Promise.all(Array.from({ length: CONNECTIONS }, () => drip(head, rest)));
    const quick = await fetch(`http://127.0.0.1:${port}/read`, { method: 'POST', body: 'hello' });
    expect(await quick.json()).toEqual({ length: 5 });
    // Who is sending while the connection is closed does not get to read why.
    const told = (await slow).filter((text) => text !== '');
    expect(told.length).toBeGreaterThan(0);
    for (const text of told) {
      expect(text).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n/);
      expect(text).toContain('"code":"invalid_request"');
    }
    expect(new Set([...read, 'The request body broke off.']).size).toBe(1);
  });
});
