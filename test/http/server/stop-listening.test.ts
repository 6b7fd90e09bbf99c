import type { AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import { expect, it } from '@jest/globals';
import express from 'express';
import { createHttpServer, stopListening } from '../../../src/http/server/http-server.ts';

const CLIENTS = 50;

/** Clients on a thread of their own: they connect while the server's thread does something else, and count what comes of it. */
const CLIENTS_THREAD = `
  const { connect } = require('node:net');
  const { parentPort, workerData: { port, clients, connected } } = require('node:worker_threads');
  const answers = [];
  const told = (answer) => answers.push(answer) === clients && parentPort.postMessage(answers);
  for (let client = 0; client < clients; client++) {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write('GET / HTTP/1.1\\r\\nHost: pura\\r\\nConnection: close\\r\\n\\r\\n');
      Atomics.add(connected, 0, 1);
    });
    let answer = '';
    socket.on('data', (data) => (answer += data));
    socket.on('error', (error) => (answer = error.code));
    socket.on('close', () => told(answer.slice(0, 15)));
  }`;

it('a server that stops listening answers whoever had connected, also those that it had no time to accept', async () => {
  const app = express();
  app.get('/', (_req, res) => void res.send('served'));
  const server = createHttpServer(app);
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, resolve));
  const { port } = server.address() as AddressInfo;
  const connected = new Int32Array(new SharedArrayBuffer(4));
  const clients = new Worker(CLIENTS_THREAD, { eval: true, workerData: { port, clients: CLIENTS, connected } });
  const answers = new Promise<string[]>((resolve) => clients.once('message', resolve));
  await new Promise((resolve) => clients.once('online', resolve));

  // The kernel takes them all while this thread looks at nothing else.
  while (Atomics.load(connected, 0) < CLIENTS);
  const closed = new Promise<void>((resolve) => stopListening(server, resolve));

  expect(await answers).toEqual(Array(CLIENTS).fill('HTTP/1.1 200 OK'));
  await closed;
  await clients.terminate();
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
});
