/** Everything that the gateway refuses or fails with, in one table: code → status, type and public message. */

export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'insufficient_funds'
  | 'budget_exceeded'
  | 'rate_limit_error'
  | 'api_error';

interface ErrorRow {
  readonly status: number;
  readonly type: ErrorType;
  readonly message: string;
}

const bad = (status: number, message: string): ErrorRow => ({ status, type: 'invalid_request_error', message });
const broken = (status: number, message: string): ErrorRow => ({ status, type: 'api_error', message });
const limited = (message: string): ErrorRow => ({ status: 429, type: 'rate_limit_error', message });
const unfunded = (message: string): ErrorRow => ({ status: 402, type: 'insufficient_funds', message });

export const ERRORS = {
  invalid_request: bad(400, 'The request is not valid.'),
  unknown_parameter: bad(400, 'This parameter is not supported.'),
  invalid_api_key: { status: 401, type: 'authentication_error', message: 'Missing or invalid API key.' },
  free_tier_exceeded: unfunded('The free requests do not cover this one.'),
  insufficient_balance: unfunded('The balance does not cover this request.'),
  max_cost_exceeded: unfunded('The request could cost more than its own limit allows.'),
  budget_exhausted: { status: 402, type: 'budget_exceeded', message: "The key's daily budget does not cover this request." },
  model_not_allowed: { status: 403, type: 'permission_error', message: 'This key may not use this model.' },
  not_permitted: { status: 403, type: 'permission_error', message: 'This key may not do that.' },
  model_not_found: bad(404, 'The model does not exist.'),
  invoice_not_found: bad(404, 'The invoice does not exist.'),
  key_not_found: bad(404, 'The key does not exist.'),
  not_found: bad(404, 'There is nothing here.'),
  method_not_allowed: bad(405, 'This path does not take this method.'),
  last_owner_key: bad(
    409,
    'An account with a balance, money held or an open invoice keeps an owner key without an expiry. Make another one first; this one can be rotated.',
  ),
  idempotency_conflict: bad(409, 'This Idempotency-Key was used with another request.'),
  idempotency_in_progress: bad(409, 'The request with this Idempotency-Key is still running.'),
  idempotency_interrupted: bad(409, 'The request with this Idempotency-Key ended without an answer that could be kept.'),
  request_too_large: bad(413, 'The request body is too large.'),
  too_many_values: bad(413, 'The request body holds too many JSON values.'),
  unsupported_media_type: bad(415, 'Send JSON, with Content-Type: application/json.'),
  upgrade_required: bad(426, 'This path speaks no WebSocket: send a POST.'),
  rate_limit_exceeded: limited('Rate limit exceeded.'),
  too_many_invoices: limited('Too many open invoices. Pay one, or wait until one expires.'),
  internal_error: broken(500, 'Something went wrong on our side.'),
  upstream_error: broken(503, 'No provider could answer this request.'),
  overloaded: broken(503, 'The gateway is busy. Try again shortly.'),
  exchange_rate_unavailable: broken(503, 'No current BTC/USD rate is available.'),
  lightning_unavailable: broken(503, 'No Lightning invoice can be made right now. Funded keys keep working.'),
  database_unavailable: broken(503, 'The ledger cannot be reached, so nothing is served. Try again shortly.'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

interface ErrorDetail {
  /** Replaces the table's message. Public: never put anything internal here. */
  message?: string;
  /** The request field or header at fault. */
  param?: string;
  /** Seconds, at least 1; sent as `Retry-After`. */
  retryAfter?: number;
  /** More members of the public `error` object, e.g. `reason`, `funding`, `resets_at`. */
  fields?: Record<string, unknown>;
  /** More response headers, e.g. `Allow`. */
  headers?: Record<string, string | string[]>;
  /** Which limit was reached. For metrics only. */
  limit?: 'rpm' | 'tpm' | 'streams' | 'address' | 'sign_in';
  /** What really happened. For the log only. */
  cause?: unknown;
}

/** What is shown of a text that a client may have written, however long that is. */
const MOST_MESSAGE_CHARACTERS = 2_000;
const MOST_PARAM_CHARACTERS = 200;

/** A refusal or failure with a public face. Anything else that is thrown is answered as `internal_error`. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, detail: ErrorDetail = {}) {
    super((detail.message ?? ERRORS[code].message).slice(0, MOST_MESSAGE_CHARACTERS), { cause: detail.cause });
    this.name = 'GatewayError';
    this.code = code;
    const { param } = detail;
    this.detail =
      param === undefined || param.length <= MOST_PARAM_CHARACTERS ? detail : { ...detail, param: param.slice(0, MOST_PARAM_CHARACTERS) };
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  /** The response body of every error. */
  toJSON(): { error: Record<string, unknown> } {
    const { param, retryAfter, fields } = this.detail;
    return {
      error: {
        message: this.message,
        type: ERRORS[this.code].type,
        code: this.code,
        param: param ?? null,
        ...(retryAfter !== undefined && { retry_after: retryAfter }),
        ...fields,
      },
    };
  }
}
