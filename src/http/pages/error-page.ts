import type { ErrorRequestHandler } from 'express';
import type { ErrorCode } from '../../errors.ts';
import type { Observe } from '../../observation.ts';
import { errorHeaders, noteRefusal, publicError } from '../server/error-response.ts';
import { RefusalLog } from '../server/refusal-log.ts';
import type { Pages } from './pages.ts';

/** What stands above the message, where the code's own word would say less. */
const TITLES: Partial<Record<ErrorCode, string>> = {
  not_found: 'There is no such page',
  key_not_found: 'There is no such key',
  invoice_not_found: 'There is no such invoice',
  not_permitted: 'This is not for you',
  rate_limit_exceeded: 'Too often',
  database_unavailable: 'The database is away',
  overloaded: 'Too much at once',
  internal_error: 'Something is broken',
};

/** The last handler of pages: whatever was thrown becomes a page that says what happened, and is logged as for any other path. */
export function errorPage(pages: Pages, observe: Observe): ErrorRequestHandler {
  const refusals = new RefusalLog(observe);
  return (thrown, _req, res, next) => {
    // A path that speaks a wire tells its errors in it.
    if (res.locals['surface']) return next(thrown);
    const error = publicError(thrown, pages.contact);
    const requestId = res.locals['requestId'] as string | undefined;
    refusals.write(error, requestId);
    noteRefusal(res, error, observe);
    if (res.headersSent || res.destroyed) {
      res.destroy();
      return;
    }
    const { message } = error.toJSON().error;
    res.set(errorHeaders(error));
    pages.send(res, 'error', { title: TITLES[error.code] ?? 'This did not work' }, { message, code: error.code, requestId }, error.status);
  };
}

/** Paths of programs: a browser that is sent there gets their errors. */
const OF_PROGRAMS = /^\/(api|v1|l402|lnurl|mcp|dev|metrics|health|ready|\.well-known)(\/|$)/;

/** The same for whoever looks at any other path in a browser: what is thrown goes on to the next handler where a program asks. */
export function errorPageForBrowsers(page: ErrorRequestHandler): ErrorRequestHandler {
  return (thrown, req, res, next) => {
    const isBrowsers = (req.method === 'GET' || req.method === 'HEAD') && !OF_PROGRAMS.test(req.path);
    return isBrowsers && req.accepts(['json', 'html']) === 'html' ? page(thrown, req, res, next) : next(thrown);
  };
}
