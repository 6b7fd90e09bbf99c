import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Request, Response } from 'express';
import type { ErrorCode } from '../../errors.ts';
import type { Observe } from '../../observation.ts';

const CLIENT_GONE = 499;

/** Tells of every request when it comes and when its answer has ended, by its route and never by its path. */
export function httpObserver(observe: Observe): (req: IncomingMessage, res: ServerResponse) => void {
  return (req, res) => {
    const { method = '' } = req;
    const startedAt = performance.now();
    observe({ kind: 'http_began', method });
    res.once('close', () => {
      const status = res.headersSent ? res.statusCode : CLIENT_GONE;
      observe({
        kind: 'http',
        method,
        ...routeOf(req as Request),
        status,
        code: codeOf(res as Response),
        startedAt,
        endedAt: performance.now(),
      });
    });
  };
}

function routeOf(req: Request): { route: string; scheme: string } {
  const { path } = (req.route ?? {}) as { path?: unknown };
  // Only what is written in the source is a route.
  return { route: typeof path === 'string' ? req.baseUrl + path : '', scheme: req.protocol };
}

function codeOf({ locals }: Response): ErrorCode | null {
  return ((locals as Response['locals'] | undefined)?.['errorCode'] as ErrorCode | undefined) ?? null;
}
