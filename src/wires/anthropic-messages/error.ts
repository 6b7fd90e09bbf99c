import type { ErrorObject, JsonObject } from '../wire.ts';

/** Errors in the words of the Messages API: https://docs.anthropic.com/en/api/errors. */

const TYPES = new Set([
  'invalid_request_error',
  'authentication_error',
  'billing_error',
  'permission_error',
  'not_found_error',
  'request_too_large',
  'rate_limit_error',
  'timeout_error',
  'api_error',
  'overloaded_error',
]);
const BY_CODE: Readonly<Record<string, string>> = {
  model_not_found: 'not_found_error',
  invoice_not_found: 'not_found_error',
  key_not_found: 'not_found_error',
  not_found: 'not_found_error',
  request_too_large: 'request_too_large',
  too_many_values: 'request_too_large',
  overloaded: 'overloaded_error',
};
const BY_TYPE: Readonly<Record<string, string>> = {
  insufficient_funds: 'billing_error',
  budget_exceeded: 'billing_error',
  insufficient_quota: 'billing_error',
  tokens: 'rate_limit_error',
  requests: 'rate_limit_error',
  INVALID_ARGUMENT: 'invalid_request_error',
};

/** An error as a whole body: all that ours says besides stays beside the type and the message. */
export function errorBody({ error }: ErrorObject, requestId: string): JsonObject {
  const { type, message, ...others } = error;
  return { type: 'error', error: { type: typeOf(type, others['code']), message, ...others }, request_id: requestId };
}

export function errorEvents(error: ErrorObject, requestId: string): string {
  return `event: error\ndata: ${JSON.stringify(errorBody(error, requestId))}\n\n`;
}

function typeOf(type: unknown, code: unknown): string {
  const coded = typeof code === 'string' ? BY_CODE[code] : undefined;
  if (coded !== undefined) return coded;
  if (typeof type !== 'string') return 'api_error';
  return TYPES.has(type) ? type : (BY_TYPE[type] ?? 'api_error');
}
