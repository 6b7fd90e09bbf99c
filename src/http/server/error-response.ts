import type { ErrorRequestHandler, Response } from 'express';
import { AccountFrozenError } from '../../accounts/frozen.ts';
import { isConnectionLost, isPassing } from '../../db/postgres.ts';
import { GatewayError, type ErrorCode } from '../../errors.ts';
import type { Observe } from '../../observation.ts';
import type { Surface } from '../../wires/wire.ts';
import { RefusalLog } from './refusal-log.ts';

const LOCK_NOT_AVAILABLE = '55P03';
const RETRY_AFTER_DATABASE_SECONDS = 1;

/**
 * The last middleware: whatever was thrown becomes its answer, and what really happened is told to the operator.
 * @param contact where the operator can be reached.
 */
export function errorResponse(observe: Observe, contact?: string): ErrorRequestHandler {
  const refusals = new RefusalLog(observe);
  return (thrown, _req, res, _next) => {
    const error = publicError(thrown, contact);
    refusals.write(error, res.locals['requestId'] as string | undefined);
    noteRefusal(res, error, observe);
    sendError(res, error);
  };
}

/** What is observed of a refusal beside its answer: its code, and the limit that was reached. */
export function noteRefusal(res: Response, { code, detail }: GatewayError, observe: Observe): void {
  res.locals['errorCode'] = code;
  if (detail.limit) observe({ kind: 'refusal', limit: detail.limit });
}

/** Answers with an error, in the words of the path's wire. Where the answer has already begun, or nobody is left to read it, the connection is ended instead. */
function sendError(res: Response, error: GatewayError): void {
  if (res.headersSent || res.destroyed || res.socket?.destroyed) {
    res.destroy();
    return;
  }
  // It is for what was delivered.
  res.removeHeader('Payment-Receipt');
  const surface = res.locals['surface'] as Surface | undefined;
  const body = surface ? surface.errorBody(error.toJSON(), (res.locals['requestId'] as string | undefined) ?? '') : error.toJSON();
  res.status(error.status).set(errorHeaders(error)).json(body);
}

/**
 * The error as the table of errors knows it. Nothing of anything else that was thrown reaches the client.
 * @param contact where the operator can be reached, for what nobody else can help with.
 */
export function publicError(thrown: unknown, contact?: string): GatewayError {
  if (thrown instanceof AccountFrozenError) return new AccountFrozenError(contact);
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
  if (isFinal(code, status)) headers['x-should-retry'] = 'false';
  if (status === 402) headers['Cache-Control'] = 'no-store';
  return headers;
}

/** Whether the same request would meet the same answer. The clients of OpenAI and Anthropic retry by themselves unless they are told. */
function isFinal(code: ErrorCode, status: number): boolean {
  return status === 401 || status === 402 || status === 500 || code === 'idempotency_conflict';
}
