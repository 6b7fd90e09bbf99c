import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { request as ask, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import express, { type Request, type Response } from 'express';
import { GatewayError } from '../../../src/errors.ts';
import { askInOwnName, type OwnAnswer } from '../../../src/http/console/own-question.ts';
import { PLAYGROUND_ROUTE } from '../../../src/http/console/playground-route.ts';
import { clientOf } from '../../../src/http/server/forwarded.ts';
import { readBody } from '../../../src/http/server/json-body.ts';
import { originOf } from '../../../src/http/server/origin.ts';
import { plainChat } from '../../../src/wires/openai-chat/plain-chat.ts';

/** A proxy that is trusted, at an address that is none of the gateway's own clients'. */
const PROXY = '127.0.0.2';
const KEY = { id: 'the key', prefix: 'pura_x' };
const CHAT = plainChat('auto', 'hello');

type Answer = (req: Request, res: Response) => Promise<void>;
let answer: Answer;
let stoodFor: unknown[];
let told: Promise<OwnAnswer | null>;
let server: Server;

beforeAll(async () => {
  const app = express().set('trust proxy', [PROXY]);
  const gateway = { answer: (req: Request, res: Response) => answer(req, res) };
  const payers = { standFor: (_req: Request, key: unknown) => void stoodFor.push(key) };
  app.post('/', (req, res) => {
    told = askInOwnName({ gateway, payers }, req, res, { route: PLAYGROUND_ROUTE, key: KEY, chat: CHAT, headers: { 'x-more': '1' } });
    told.then(
      (own) => res.json(own?.body ?? null),
      () => res.status(500).end(),
    );
  });
  server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.close();
});
beforeEach(() => {
  stoodFor = [];
});

function form(headers: Record<string, string> = {}) {
  const { port } = server.address() as AddressInfo;
  const more = { authorization: 'Bearer x', cookie: 'c=1', 'idempotency-key': 'i', ...headers };
  return ask({ port, host: '127.0.0.1', localAddress: PROXY, method: 'POST', headers: more }).end('message=hello');
}

it('is asked from where the form came, behind a proxy too, with nothing but what is meant for it', async () => {
  let seen: object = {};
  answer = async (req, res) => {
    const body = await readBody(req, 1_000);
    const { authorization, cookie, 'idempotency-key': idempotency, 'x-more': more } = req.headers;
    seen = { client: clientOf(req), origin: originOf(req, undefined), https: req.secure, body: JSON.parse(body.toString()) as object };
    seen = { ...seen, credentials: [authorization, cookie, idempotency], more, whole: req.complete };
    res.writeHead(200, ['X-Pura-Charged-Msat', '7', 'Content-Length', '14']).end('{"said":"hey"}');
  };
  const forwarded = { 'x-forwarded-for': '198.51.100.7', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'pura.example' };
  const [response] = (await once(form(forwarded), 'response')) as [NodeJS.ReadableStream];
  await text(response);
  expect(seen).toEqual({
    ...{ client: '198.51.100.7', origin: 'https://pura.example', https: true, body: CHAT },
    ...{ credentials: [undefined, undefined, undefined], more: '1', whole: true },
  });
  expect(stoodFor).toEqual([KEY]);
});

it('gives status, headers and body as they were written', async () => {
  const body = JSON.stringify({ said: 'ä'.repeat(100_000) });
  answer = async (_req, res) => {
    res.writeHead(429, ['Retry-After', '3', 'Content-Length', String(Buffer.byteLength(body))]).end(body);
  };
  form().on('response', (response) => response.resume());
  await once(server, 'request');
  const own = await told;
  expect([own?.status, own?.headers.get('retry-after'), JSON.stringify(own?.body)]).toEqual([429, '3', body]);
});

it('rejects as the gateway does', async () => {
  answer = () => Promise.reject(new GatewayError('overloaded'));
  form().on('response', (response) => response.resume());
  await once(server, 'request');
  await expect(told).rejects.toMatchObject({ code: 'overloaded' });
});

it('rejects what nobody can read, and the process goes on', async () => {
  answer = (_req, res) => {
    setImmediate(() => res.writeHead(200, ['Content-Length', '4']).end('oops'));
    return Promise.resolve();
  };
  form().on('response', (response) => response.resume());
  await once(server, 'request');
  await expect(told).rejects.toThrow(SyntaxError);
});

it('is given up when the sender of the form leaves, and closes when it is answered', async () => {
  const closed: boolean[] = [];
  answer = async (_req, res) => {
    const leaving = once(res, 'close');
    asked.destroy();
    await leaving;
    closed.push(res.writableFinished, res.destroyed);
  };
  const asked = form().on('error', () => {});
  await once(server, 'request');
  expect(await told).toBeNull();
  expect(closed).toEqual([false, true]);

  let isClosed: Promise<unknown> | undefined;
  answer = async (_req, res) => {
    isClosed = once(res, 'close').then(() => res.writableFinished);
    res.writeHead(200, ['Content-Length', '2']).end('{}');
  };
  form().on('response', (response) => response.resume());
  await once(server, 'request');
  expect((await told)?.body).toEqual({});
  expect(await isClosed).toBe(true);
});
