import type { ErrorRequestHandler, Response } from 'express';
import { isConnectionLost, isPassing } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';

const LOCK_NOT_AVAILABLE = '55P03';
const RETRY_AFTER_DATABASE_SECONDS = 1;

/** The last middleware: whatever was thrown becomes its answer. */
export function errorResponse(log: Logger): ErrorRequestHandler {
  return (error, _req, res, _next) => sendError(res, error, log);
}

/**
 * Answers with an error's public face and logs what really happened. Where the answer has already begun, or nobody is
 * left to read it, the connection is ended instead.
 */
export function sendError(res: Response, thrown: unknown, log: Logger): void {
  const error = publicError(thrown);
  logError(log, error, res);
  if (res.headersSent || res.destroyed || res.socket?.destroyed) {
    res.destroy();
    return;
  }
  // It is for what was delivered.
  res.removeHeader('Payment-Receipt');
  res.status(error.status).set(errorHeaders(error)).json(error.toJSON());
}

/** The error as the table of errors knows it. Nothing of anything else that was thrown reaches the client. */
export function publicError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  const { code, status } = (thrown ?? {}) as { code?: unknown; status?: unknown };
  // Express and its router throw these for paths and proxies' headers that cannot be decoded.
  if (typeof status === 'number' && status >= 400 && status < 500) return new GatewayError('invalid_request', { cause: thrown });
  if (code === LOCK_NOT_AVAILABLE) return new GatewayError('overloaded', { retryAfter: 1, cause: thrown });
  if (isConnectionLost(thrown) || isPassing(thrown)) {
    return new GatewayError('database_unavailable', { retryAfter: RETRY_AFTER_DATABASE_SECONDS, cause: thrown });
  }
  return new GatewayError('internal_error', { cause: thrown });
}

/** The response headers of an error. */
export function errorHeaders({ code, status, detail }: GatewayError): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { ...detail.headers };
  if (detail.retryAfter !== undefined) {
    headers['Retry-After'] = String(detail.retryAfter);
    headers['retry_after'] = String(detail.retryAfter);
  }
  // The OpenAI clients retry these by themselves: no use, and a 402 would be asked for again.
  if (status === 402 || status === 500 || code === 'idempotency_conflict') headers['x-should-retry'] = 'false';
  if (status === 402) headers['Cache-Control'] = 'no-store';
  return headers;
}

function logError(log: Logger, error: GatewayError, res: Response): void {
  if (error.status < 500) return;
  const about = { requestId: res.locals['requestId'] as string | undefined, code: error.code, err: error.cause ?? error };
  if (error.code === 'internal_error') log.error(about, 'a request failed for no foreseen reason');
  else log.warn(about, 'a request could not be served');
}
