import { randomFillSync } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { v7 } from 'uuid';
import type { Surface } from '../../wires/wire.ts';

const RANDOM_BYTES = 16;
/** Random bytes for many ids at once: asking for 16 at a time costs several times as much as all the rest of an id. */
const random = new Uint8Array(RANDOM_BYTES * 256);
let used = random.length;

/** Gives every request its id, and sets what every answer says. */
export const requestId: RequestHandler = (req, res, next) => {
  setHeaders(res, identify(req, res));
  next();
};

/**
 * Gives a request its id, which is also its usage record's, its hold's and its charge's: in `res.locals.requestId`. Returns the names and
 * values, in turn, that the head of every answer to it carries.
 */
export function identify(req: Request, res: Response): string[] {
  const id = newRequestId();
  res.locals['requestId'] = id;
  const head = ['X-Pura-Request-Id', id, 'X-Content-Type-Options', 'nosniff'];
  const clients = clientRequestIdOf(req);
  if (clients !== undefined) head.push('X-Client-Request-Id', clients);
  const surface = res.locals['surface'] as Surface | undefined;
  if (surface?.requestIdHeader !== undefined) head.push(surface.requestIdHeader, id);
  return head;
}

/** The id that a client gave its request: only where it can be a header's value. OpenAI takes 512 ASCII characters. */
export function clientRequestIdOf({ headers }: Pick<Request, 'headers'>): string | undefined {
  const id = headers['x-client-request-id'];
  return typeof id === 'string' && /^[\x21-\x7e]{1,512}$/.test(id) ? id : undefined;
}

/** Sets the head of an answer that comes from no provider. `x-request-id` is what the OpenAI clients show in their errors. */
export function setHeaders(res: Response, head: readonly string[]): void {
  for (let index = 0; index < head.length; index += 2) res.setHeader(head[index] ?? '', head[index + 1] ?? '');
  res.setHeader('x-request-id', res.locals['requestId'] as string);
}

/** A UUID of version 7 (RFC 9562): ids of later milliseconds sort after earlier ones. */
export function newRequestId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const bytes = random.subarray(used, (used += RANDOM_BYTES));
  return v7({ random: bytes });
}
