import { providerReason, type ProviderReason } from './provider-reason.ts';

/**
 * Whose doing it is that a provider gave no answer. `request`: the client's own, which no other candidate would take either, and which the
 * client is told; `operator`: the gateway's account there, its bill or its choice of model, which is no client's business; `provider`: any
 * other, and another candidate may do better.
 */
export type Fault = 'request' | 'operator' | 'provider';

/** A status, and what its body says; how a failure is told in the middle of a 200 too, with the status that it names or 500. */
export interface Refusal {
  readonly status: number;
  readonly reason: ProviderReason | null;
  /** The body as it came, for what stands beside the reason. */
  readonly text: string;
}

const REQUEST = new Set([400, 413, 422, 451]);
const OPERATOR = new Set([401, 402, 403, 404]);

/** A quota that is used up is the operator's to raise, whatever the status (OpenAI and Moonshot say so with a 429). */
const OUT_OF_QUOTA = /insufficient_quota|exceeded_current_quota|credit_balance|spend_limit|billing/i;
/** A credential or an account that does not do, under statuses that say otherwise (a wrong key is a 400 at Gemini and xAI). */
const NOT_LET_IN =
  /^(authentication_error|permission_error|invalid_api_key|incorrect_api_key|organization_(restricted|disabled)|FAILED_PRECONDITION|PERMISSION_DENIED|UNAUTHENTICATED)$/i;
const GOOGLE_KEY = /"reason"\s*:\s*"(API_KEY_\w+|BILLING_DISABLED|SERVICE_DISABLED|CONSUMER_\w+)"/;
/** A model that is not, or no longer, there for the operator: as a 404 would say. */
const NO_MODEL = /^(model_not_found|model_decommissioned|model_terms_required)$/i;
/** What Anthropic says with a 400 `invalid_request_error` of the account's money (https://docs.claude.com/en/api/errors). */
const OUT_OF_MONEY =
  /^(your credit balance is too low|you have reached your (specified )?((workspace|organization) )?(api )?usage limits|this organization has been disabled)/i;
/** One request above what the account may use in a minute: a 413 at Groq. Another candidate may have the room. */
const ABOVE_RATE = /^rate_limit_exceeded$/i;

/**
 * Tells whose fault a refusal is. What decides is what is said, not who says it: compatible servers repeat each other's words.
 * @param isOwnKey whether the client brought the key: what is wrong with that account is then the client's to know.
 */
export function faultOf({ status, reason, text }: Refusal, isOwnKey = false): Fault {
  const said = [reason?.type, reason?.code].map((label) => String(label ?? ''));
  const isOf = (pattern: RegExp) => said.some((label) => pattern.test(label));
  if (status < 400 || status > 599) return 'provider';
  const isOperators =
    OPERATOR.has(status) ||
    isOf(OUT_OF_QUOTA) ||
    isOf(NOT_LET_IN) ||
    isOf(NO_MODEL) ||
    (status === 400 && (GOOGLE_KEY.test(text) || OUT_OF_MONEY.test(reason?.message ?? '')));
  if (isOperators) return isOwnKey ? 'request' : 'operator';
  return REQUEST.has(status) && !isOf(ABOVE_RATE) ? 'request' : 'provider';
}

/** The same of an answer's body. */
export function faultOfAnswer(status: number, text: string, isOwnKey = false): Fault {
  return faultOf({ status, reason: providerReason(text), text }, isOwnKey);
}
