import type { RequestHandler } from 'express';
import { v7 as uuid } from 'uuid';

/** Gives every request its id, which is also its usage record's, its hold's and its charge's: `res.locals.requestId` and `X-Pura-Request-Id`. */
export const requestId: RequestHandler = (_req, res, next) => {
  const id = uuid();
  res.locals['requestId'] = id;
  res.setHeader('X-Pura-Request-Id', id);
  res.setHeader('X-Content-Type-Options', 'nosniff');
  next();
};
