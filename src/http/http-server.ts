import type { Express } from 'express';
import { createServer, IncomingMessage, ServerResponse, STATUS_CODES, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { v7 as uuid } from 'uuid';
import { GatewayError } from '../errors.ts';

/** Nobody may hold a connection by sending slowly, or by sending nothing. An answer may take as long as it takes. */
const LIMITS = {
  headersTimeout: 20_000,
  /** For the whole request: the largest body at 1 Mbit/s. */
  requestTimeout: 120_000,
  connectionsCheckingInterval: 5_000,
  /** Above the usual 60 s of load balancers, which must be the ones to close idle connections. */
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16 * 1024,
};

/**
 * An HTTP server whose requests and responses are Express's from their birth. Express gives every request and response
 * its own prototype; an object whose prototype is switched loses the engine's optimisations, which makes Node three
 * times as slow. Here there is nothing to switch. What Node's parser refuses is answered in JSON too.
 */
export function createHttpServer(app: Express, limits: Partial<typeof LIMITS> = {}): Server {
  function PuraRequest(this: object, socket: unknown): void {
    (IncomingMessage as unknown as Construct).call(this, socket);
  }
  function PuraResponse(this: object, request: unknown, options: unknown): void {
    (ServerResponse as unknown as Construct).call(this, request, options);
  }
  PuraRequest.prototype = app.request;
  PuraResponse.prototype = app.response;
  const classes = {
    IncomingMessage: PuraRequest as unknown as typeof IncomingMessage,
    ServerResponse: PuraResponse as unknown as typeof ServerResponse,
  };

  /** The answer that was begun last on each connection. */
  const answers = new WeakMap<Duplex, ServerResponse>();
  const server = createServer({ ...LIMITS, ...limits, ...classes }, (req, res) => {
    answers.set(req.socket, res);
    app(req, res);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const answer = answers.get(socket);
    const midAnswer = answer?.headersSent === true && !answer.writableFinished;
    if (error.code === 'ECONNRESET' || !socket.writable || midAnswer) socket.destroy();
    else socket.end(refusal(error.code), () => socket.destroy());
  });
  return server;
}

/** Node's constructors are functions: they can be called on an object that exists already. */
type Construct = (this: object, ...args: unknown[]) => void;

/** A whole HTTP response to what is not an HTTP request. */
function refusal(code: string | undefined): string {
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const message = `${STATUS_CODES[status] ?? 'Bad Request'}: this is not a request that can be read.`;
  const body = JSON.stringify(new GatewayError('invalid_request', { message }));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Pura-Request-Id: ${uuid()}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
