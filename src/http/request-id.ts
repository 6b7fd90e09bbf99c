import { randomFillSync } from 'node:crypto';
import type { RequestHandler } from 'express';
import { v7 } from 'uuid';

const RANDOM_BYTES = 16;
/** Random bytes for many ids at once: asking for 16 at a time costs several times as much as all the rest of an id. */
const random = new Uint8Array(RANDOM_BYTES * 256);
let used = random.length;

/** Gives every request its id, which is also its usage record's, its hold's and its charge's: `res.locals.requestId` and `X-Pura-Request-Id`. */
export const requestId: RequestHandler = (_req, res, next) => {
  const id = newRequestId();
  res.locals['requestId'] = id;
  res.setHeader('X-Pura-Request-Id', id);
  // The one that the OpenAI clients show in their errors; an OpenAI upstream's own takes its place.
  res.setHeader('x-request-id', id);
  res.setHeader('X-Content-Type-Options', 'nosniff');
  next();
};

/** A UUID of version 7 (RFC 9562): ids of later milliseconds sort after earlier ones. */
export function newRequestId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const bytes = random.subarray(used, (used += RANDOM_BYTES));
  return v7({ random: bytes });
}
