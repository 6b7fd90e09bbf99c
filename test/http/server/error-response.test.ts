import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import express from 'express';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ERRORS, GatewayError, type ErrorCode } from '../../../src/errors.ts';
import { errorResponse } from '../../../src/http/server/error-response.ts';

let server: Server;

beforeAll(async () => {
  const app = express();
  app.get('/:code', (req, res) => {
    res.set('Payment-Receipt', 'receipt');
    throw new GatewayError(req.params.code as ErrorCode);
  });
  app.use(errorResponse(() => {}));
  server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe('an error', () => {
  it.each(Object.keys(ERRORS) as ErrorCode[])('%s carries no receipt: nothing was delivered for the payment', async (code) => {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${code}`);
    expect(answer.status).toBe(ERRORS[code].status);
    expect(answer.headers.get('payment-receipt')).toBeNull();
  });
});
