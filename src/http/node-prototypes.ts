import type { Express } from 'express';
import { createServer, IncomingMessage, ServerResponse, type Server, type ServerOptions } from 'node:http';

/** Calls one of Node's constructors, which are functions, on an object that exists already. */
type Construct = (this: object, ...args: unknown[]) => void;

/**
 * An HTTP server whose requests and responses are Express's from their birth. Express gives every request and response
 * its own prototype; an object whose prototype is switched loses the engine's optimisations, which makes Node three
 * times as slow. Here there is nothing to switch.
 */
export function createHttpServer(app: Express, options: ServerOptions = {}): Server {
  function PuraRequest(this: object, ...args: unknown[]): void {
    (IncomingMessage as unknown as Construct).apply(this, args);
  }
  function PuraResponse(this: object, ...args: unknown[]): void {
    (ServerResponse as unknown as Construct).apply(this, args);
  }
  PuraRequest.prototype = app.request;
  PuraResponse.prototype = app.response;
  return createServer(
    {
      ...options,
      IncomingMessage: PuraRequest as unknown as typeof IncomingMessage,
      ServerResponse: PuraResponse as unknown as typeof ServerResponse,
    },
    app,
  );
}
