import cors from 'cors';
import type { RequestHandler } from 'express';

const limits = ['Requests', 'Tokens'].flatMap((unit) => ['Limit', 'Remaining', 'Reset'].map((what) => `X-Pura-RateLimit-${what}-${unit}`));

/** What a page of another origin may read of an answer, besides the few headers that it always may. */
const EXPOSED = [
  'WWW-Authenticate',
  'PAYMENT-REQUIRED',
  'Payment-Receipt',
  'Retry-After',
  'X-Pura-Provider',
  'X-Pura-Model',
  'X-Pura-Tier',
  'X-Pura-Cost',
  'X-Pura-Cost-Kind',
  'X-Pura-Cost-Msat',
  'X-Pura-Funding',
  'X-Pura-Charged-Msat',
  'X-Pura-Budget-Remaining',
  'X-Pura-Free-Remaining',
  'X-Pura-Balance',
  'X-Pura-Quality',
  'X-Pura-Explored',
  'X-Pura-Cascade-Depth',
  'X-Pura-Cascade-Savings',
  'X-Pura-Confidence',
  'X-Pura-Output-Cap',
  'X-Pura-Ignored',
  'X-Pura-Request-Id',
  'X-Pura-Body-Sha256',
  ...limits,
  'X-Client-Request-Id',
  'x-request-id',
  'request-id',
  'Idempotency-Replayed',
];

const MAX_AGE_SECONDS = 600;

/** Lets pages of other origins call the API, with a key and without cookies. `origins`: as configured, `*` for all. */
export function crossOrigin(origins: readonly string[]): RequestHandler {
  const all = origins.includes('*');
  const handler = cors({ origin: all ? '*' : [...origins], exposedHeaders: EXPOSED, maxAge: MAX_AGE_SECONDS });
  // Where every origin gets the same answer, a request without one needs none of it.
  return (req, res, next) => (all && req.headers.origin === undefined && req.method !== 'OPTIONS' ? next() : handler(req, res, next));
}
