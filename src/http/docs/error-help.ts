import type { ErrorCode } from '../../errors.ts';

/** What a person is told of an error: what it comes from, what it means for the sats, and what to do. */
export interface ErrorHelp {
  readonly cause: string;
  /** Where something else holds than that nothing was charged. */
  readonly charged?: string;
  readonly remedy: string;
}

const LATER = 'Send the same again later. `Retry-After` says when; the clients of OpenAI and Anthropic do so by themselves.';

/** One for each code of the table of errors. */
export const ERROR_HELP: Readonly<Record<ErrorCode, ErrorHelp>> = {
  invalid_request: {
    cause: 'A field, header or query parameter is not as it must be. `param` names it; nothing was sent to a provider.',
    remedy: 'Correct what `param` and the message name. Where the message is a provider’s, its own documentation explains it.',
  },
  unknown_parameter: {
    cause: 'The body has a field that this gateway has no rule for, or one that could cost more than can be known beforehand.',
    remedy: 'Leave the field out. [The reference](/docs/api) lists the fields of each path.',
  },
  invalid_api_key: {
    cause: 'The key or the payment credential is missing, malformed, unknown, expired or revoked. Which of them is not told.',
    remedy: 'Send the key as `Authorization: Bearer pura_…`. If it was revoked or rotated, use its successor. Do not pay again.',
  },
  free_tier_exceeded: {
    cause:
      'The account was never funded, and this request is not free: `reason` says `used_up` (the free requests are), `too_costly` (it could cost more than a free request may), or `daily_ceiling` (all free requests of the day have cost what the operator gives).',
    remedy: 'Pay the invoice in `error.funding` (its page is the URL at the end of the message) and send the request again.',
  },
  insufficient_balance: {
    cause: 'The balance does not cover the most that this request could cost, or what is to be withdrawn.',
    remedy: 'Pay the invoice in `error.funding` and send the request again, or ask for less: a lower output cap needs a smaller hold.',
  },
  max_cost_exceeded: {
    cause: 'The request could cost more than its own ceiling: `X-Pura-Max-Cost-Sats` or `routing.maxCost`.',
    remedy: 'Raise the ceiling, lower the output cap, or let `auto` choose a cheaper model.',
  },
  budget_exhausted: {
    cause: 'The key has used its budget for this UTC day, or what is left does not cover this request.',
    remedy: 'Wait until `resets_at`, or have an owner raise `dailyBudgetUsd`. Paying does not help: the balance is not what is missing.',
  },
  model_not_allowed: {
    cause: 'The key has a list of models, and this one is not on it.',
    remedy: 'Ask for a model of `GET /v1/models`, or have an owner change `allowedModels`.',
  },
  not_permitted: {
    cause:
      'This needs an owner key, or comes from where it is not taken: another site’s page, a proxy, or something the operator has switched off.',
    remedy: 'Use an owner key of the account. The message says which of the reasons it is.',
  },
  model_not_found: {
    cause: 'No model has this id or alias, or nobody who could serve it is configured.',
    remedy: '`GET /v1/models` lists the models that the key may use.',
  },
  invoice_not_found: {
    cause: 'There is no such invoice, or it is another account’s.',
    remedy: 'Check the id. A top-up’s id is `invoiceId` of the answer that made it.',
  },
  key_not_found: {
    cause: 'There is no such key, or it is another account’s.',
    remedy: '`GET /api/keys` lists the account’s keys with their ids.',
  },
  not_found: {
    cause: 'No route has this path.',
    remedy: 'Check the base URL: OpenAI’s clients want it with `/v1`, Anthropic’s without. [The reference](/docs/api) lists the paths.',
  },
  method_not_allowed: {
    cause: 'The path exists, but does not take this method.',
    remedy: 'Use one that the `Allow` header names.',
  },
  last_owner_key: {
    cause:
      'An account with a balance, money held or an open invoice keeps an owner key without an expiry. This would have ended the last one.',
    remedy: 'Make another owner key first, or rotate this one. [Keys](/docs/keys#the-last-way-in) tells more.',
  },
  idempotency_conflict: {
    cause: 'This `Idempotency-Key` was used with another body.',
    remedy: 'Take a new key for a new request. A repeat must have the same bytes.',
  },
  idempotency_in_progress: {
    cause: 'The request with this `Idempotency-Key` is still running.',
    charged: 'The first request is charged once, this repeat never.',
    remedy: 'Ask again after `Retry-After`: the answer of the first one comes then.',
  },
  idempotency_interrupted: {
    cause: 'The request with this `Idempotency-Key` ended without an answer that could be kept, such as a stream that was left.',
    charged: 'What the first request cost stands in `cost_msat`. This repeat cost nothing.',
    remedy: 'Look it up by `request_id` in `/api/requests`, and take a new key to ask anew.',
  },
  request_too_large: {
    cause: 'The body is larger than this path takes.',
    remedy: 'Send less: fewer or smaller images, a shorter history.',
  },
  too_many_values: {
    cause: 'The body holds more JSON values than are taken: 200,000, on embeddings 350,000.',
    remedy: 'Split it into several requests.',
  },
  unsupported_media_type: {
    cause: 'The body is not plain JSON.',
    remedy: 'Send `Content-Type: application/json`, without a `Content-Encoding`.',
  },
  upgrade_required: {
    cause: 'A WebSocket was asked for, which this path does not speak.',
    remedy: 'Send a POST. Clients that try a WebSocket first do that by themselves.',
  },
  rate_limit_exceeded: {
    cause: 'Too many requests, tokens or open streams for the key, its account or the address. The message names the limit.',
    remedy: LATER,
  },
  too_many_invoices: {
    cause: 'The account has five open invoices, or the address has asked for too many without a key in this hour.',
    remedy: 'Pay one of the open invoices, or wait until one expires.',
  },
  internal_error: {
    cause: 'A fault of the gateway. Nothing of it is told, but it is logged under the request id.',
    charged: 'Nothing was charged for an answer that did not come.',
    remedy: 'Tell the operator the `X-Pura-Request-Id`. Clients do not repeat it by themselves.',
  },
  upstream_error: {
    cause: 'Every provider that could serve the request failed. The message names each attempt and its status.',
    remedy: `${LATER} Or ask for another model. With \`x-should-retry: false\` only the operator can help.`,
  },
  overloaded: {
    cause: 'Too much is waiting, or the gateway is stopping.',
    remedy: LATER,
  },
  exchange_rate_unavailable: {
    cause: 'No BTC/USD rate is young enough, so nothing can be priced.',
    remedy: `${LATER} [The status page](/status) shows the rate and its sources.`,
  },
  lightning_unavailable: {
    cause: 'The Lightning node cannot be asked right now, so no invoice can be made and no payment looked up.',
    remedy: 'Keys with a balance keep working. If you have paid already, send the same credential again later: do not pay twice.',
  },
  database_unavailable: {
    cause: 'The ledger cannot be reached. Nothing is served without it.',
    charged: 'Nothing was charged for an answer that did not come. A stream that had begun is settled once the ledger is back.',
    remedy: LATER,
  },
};
