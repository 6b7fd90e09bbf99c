import type { Express } from 'express';
import {
  createServer,
  IncomingMessage,
  ServerResponse,
  STATUS_CODES,
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  type Server,
} from 'node:http';
import { Server as NetServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { GatewayError } from '../../errors.ts';
import { newRequestId } from './request-id.ts';

/** Nobody may hold a connection by sending slowly, or by sending nothing, nor an answer by not reading it. A stream may take as long as it takes. */
const LIMITS = {
  headersTimeout: 20_000,
  /** For the whole request: the largest body at 1 Mbit/s. */
  requestTimeout: 120_000,
  connectionsCheckingInterval: 5_000,
  /** From the end of an answer until all of it has been taken: a megabyte at 140 kbit/s. */
  answerTimeout: 60_000,
  /** Above the usual 60 s of load balancers, which must be the ones to close idle connections. */
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16 * 1024,
};

interface HttpServerOptions extends Partial<typeof LIMITS> {
  /** Sees every request that the parser takes, before anything is done about it. */
  onRequest?: ((req: IncomingMessage, res: ServerResponse) => void) | undefined;
}

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

/**
 * An HTTP server whose requests and responses are Express's from their birth. Express gives every request and response
 * its own prototype; an object whose prototype is switched loses the engine's optimisations. Here there is nothing to
 * switch. Measured on Node 24, per request of one small route: 20 microseconds, against 31 with the switch; the same
 * with constructor functions in place of real subclasses takes 36. What Node's parser refuses is answered in JSON too.
 */
export function createHttpServer(app: Express, { onRequest, ...limits }: HttpServerOptions = {}): Server {
  class PuraRequest extends IncomingMessage {}
  class PuraResponse extends ServerResponse {
    /** While the server stops, the client is told to ask again elsewhere. */
    override writeHead(status: number, reason?: string | Headers, headers?: Headers): this {
      if (!server.listening) this.shouldKeepAlive = false;
      return super.writeHead(status, reason as string, headers);
    }

    /** An answer that was begun before could not tell: its connection ends with it. */
    override end(...last: unknown[]): this {
      if (!server.listening && this.shouldKeepAlive) {
        const { socket } = this;
        this.once('finish', () => socket?.end());
      }
      return super.end(...(last as []));
    }
  }
  app.request = adopt(app, PuraRequest.prototype, app.request);
  app.response = adopt(app, PuraResponse.prototype, app.response);
  const classes = { IncomingMessage: PuraRequest, ServerResponse: PuraResponse };

  /** The answer that was begun last on each connection. */
  const answers = new Map<Duplex, ServerResponse>();
  const server = createServer({ ...LIMITS, ...limits, ...classes }, (req, res) => {
    answers.set(req.socket, res);
    onRequest?.(req, res);
    req.url = withSingleSlashes(req.url ?? '');
    app(req, res);
  });
  server.on('connection', (socket) => socket.once('close', () => answers.delete(socket)));
  dropUnread(server, answers, { ...LIMITS, ...limits });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const answer = answers.get(socket);
    const midAnswer = answer?.headersSent === true && !answer.writableFinished;
    if (error.code === 'ECONNRESET' || !socket.writable || midAnswer) socket.destroy();
    else socket.end(refusal(error.code), () => socket.destroy());
  });
  return server;
}

/** The same URL; repeated slashes of its path, as base URLs that end with one make them, count as one. */
function withSingleSlashes(url: string): string {
  if (!url.startsWith('/') || !url.includes('//')) return url;
  const [path = ''] = url.split('?', 1);
  return path.replaceAll(/\/{2,}/g, '/') + url.slice(path.length);
}

/** A listener that ends in a moment when nobody comes: but a crowd does not keep it open for longer than this. */
const LONGEST_STOP_MS = 250;
const SHORT_TURN_MS = 1;

/** Closes the connections whose answer has ended and is not taken by its reader. What a stream writes on is no concern of this. */
function dropUnread(server: Server, answers: ReadonlyMap<Duplex, ServerResponse>, limits: typeof LIMITS): void {
  const endedAt = new WeakMap<ServerResponse, number>();
  const look = (): void => {
    const now = performance.now();
    for (const [socket, answer] of answers) {
      if (!answer.writableEnded || answer.writableFinished) continue;
      const since = endedAt.get(answer) ?? now;
      endedAt.set(answer, since);
      if (now - since >= limits.answerTimeout) socket.destroy();
    }
  };
  const timer = setInterval(look, limits.connectionsCheckingInterval).unref();
  server.once('close', () => clearInterval(timer));
}

/**
 * Takes no more connections, and keeps those that are open: a request may be on its way on any of them, from a load
 * balancer that does not know yet. `Server.close` of node:http would cut those. Calls back when the last one is gone.
 *
 * Connections that the kernel has taken and we have not would be reset with the listener, and the requests on them fail. So it is closed
 * at the end of a short turn of the event loop in which no connection came: right after the kernel said that it has no more.
 */
export function stopListening(server: Server, onClosed: () => void): void {
  const since = performance.now();
  let turnSince = since;
  let came = true;
  const note = (): void => void (came = true);
  const endTurn = (): void => {
    const now = performance.now();
    if ((came || now - turnSince > SHORT_TURN_MS) && now - since < LONGEST_STOP_MS) {
      came = false;
      turnSince = now;
      setImmediate(endTurn);
      return;
    }
    server.off('connection', note);
    NetServer.prototype.close.call(server, onClosed);
  };
  server.on('connection', note);
  setImmediate(endTurn);
}

/** Puts what Express adds to requests (or responses) under the prototype of a subclass of Node's, to take its place. */
function adopt<T extends object>(app: Express, prototype: object, expressOwn: T): T {
  Object.setPrototypeOf(prototype, Object.getPrototypeOf(expressOwn) as object);
  return Object.defineProperty(prototype, 'app', { value: app, configurable: true, enumerable: true, writable: true }) as T;
}

/** A whole HTTP response to what is not an HTTP request. */
function refusal(code: string | undefined): string {
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const message = `${STATUS_CODES[status] ?? 'Bad Request'}: this is not a request that can be read.`;
  const body = JSON.stringify(new GatewayError('invalid_request', { message }));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Pura-Request-Id: ${newRequestId()}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
