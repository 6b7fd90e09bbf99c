import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { createHttpServer } from '../../../src/http/server/http-server.ts';

const MB = 1024 * 1024;

let server: Server;

beforeEach(async () => {
  const app = express();
  app.get('/whole', (_req, res) => void res.send(Buffer.alloc(64 * MB)));
  app.get('/read', (_req, res) => void res.send(Buffer.alloc(MB)));
  app.get('/short', (_req, res) => void res.send('short'));
  app.get('/stream', (_req, res) => {
    res.write(Buffer.alloc(64 * MB));
  });
  server = createHttpServer(app, { answerTimeout: 200, connectionsCheckingInterval: 25 });
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** A client that asks and reads nothing. */
async function ask(path: string): Promise<Socket> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.pause();
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  return socket;
}

describe('an answer that its client does not read', () => {
  it('is given up after a while; a stream and what was taken at once are not', async () => {
    const [serverSide] = (await Promise.all([once(server, 'connection'), ask('/whole')])) as [[Socket], Socket];
    const stream = (await Promise.all([once(server, 'connection'), ask('/stream')])) as [[Socket], Socket];
    const short = (await Promise.all([once(server, 'connection'), ask('/short')])) as [[Socket], Socket];
    await once(serverSide[0], 'close');
    expect([stream[0][0].destroyed, short[0][0].destroyed]).toEqual([false, false]);
  });

  it('is whole for whoever reads it', async () => {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/read`);
    expect((await answer.arrayBuffer()).byteLength).toBe(MB);
  });
});
