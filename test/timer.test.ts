import { expect, it } from '@jest/globals';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Worker } from 'node:worker_threads';
import { TIMER } from '../src/timer.ts';

/** Answers the first byte of a connection at once, and says in its shared memory that it has. */
const SERVER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer((socket) => {
    socket.once('data', () => socket.write('answer', () => { Atomics.store(workerData, 0, 1); Atomics.notify(workerData, 0); }));
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;
const LIMIT_MS = 20;

it('what arrived while the process was busy was no silence', async () => {
  const written = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(SERVER, { eval: true, workerData: written });
  const [port] = (await once(worker, 'message')) as [number];
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const seen: string[] = [];
  socket.on('data', (data) => seen.push(data.toString()));
  const over = new Promise<void>((resolve) => {
    TIMER.after(LIMIT_MS, () => {
      seen.push('over');
      resolve();
    });
  });
  const since = TIMER.now();
  await new Promise((resolve) => socket.write('question', resolve));
  // Busy from now on, until the answer has come and the time is up.
  Atomics.wait(written, 0, 0);
  while (TIMER.now() - since <= LIMIT_MS);
  await over;
  expect(seen).toEqual(['answer', 'over']);
  socket.destroy();
  await worker.terminate();
});
