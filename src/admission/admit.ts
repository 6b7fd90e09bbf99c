import type { ApiKey } from '../accounts/api-key.ts';
import { AccountFrozenError, isFrozen } from '../accounts/frozen.ts';
import { costBound, mostLimitedTokens, type Quote } from '../metering/quote.ts';
import { NotCarriedOutError, OutcomeUnknownError } from '../db/batch.ts';
import { GatewayError } from '../errors.ts';
import { LARGEST_COST, msat, msatFromPicoUsd, picoUsd, type Msat, type PicoUsd, type PicoUsdPerMsat } from '../amount.ts';
import type { Admission, HoldVerdict, Refusal } from '../ledger/hold.ts';
import type { Holds } from '../ledger/holds.ts';
import type { RateLimit, RateLimitTicket } from './rate-limit.ts';

export interface AdmissionDeps {
  holds: Holds;
  rateLimit: RateLimit;
  freeMaxPicoUsd: PicoUsd;
  /** What is said of a request above that: it may not be its own cost that is too high. */
  aboveFreeMax?: 'too_costly' | 'daily_ceiling';
}

export interface AdmissionRequest {
  requestId: string;
  apiKey: ApiKey;
  quote: Quote;
  /** How many completions were asked for (`n`). */
  completions: number;
  priceVersion: number;
  picoUsdPerMsat: PicoUsdPerMsat;
  /** The request's own cap, where it has one. */
  maxCostPicoUsd: PicoUsd | null;
  stream: boolean;
  /** The operator's fee where the client's own key at the provider serves. */
  feeMsat?: Msat | undefined;
  idempotency?: Admission['idempotency'];
}

/** Leave to dispatch: the hold is committed. */
export interface Admitted {
  hold: HoldVerdict;
  ticket: RateLimitTicket;
  /** When the hold was asked for, on the monotonic clock: its lease is at least as young. */
  since: number;
}

/** The account lacks the money: whoever catches this offers an invoice for it. */
export class FundsNeededError extends Error {
  override name = 'FundsNeededError';
  readonly code: 'free_tier_exceeded' | 'insufficient_balance';
  /** Why the request is not free; undefined where free requests have nothing to do with it. */
  readonly reason: 'used_up' | 'too_costly' | 'daily_ceiling' | undefined;
  readonly shortfallMsat: Msat;
  readonly availableMsat: Msat;
  readonly ticket: RateLimitTicket;

  constructor(verdict: HoldVerdict, reason: FundsNeededError['reason'], ticket: RateLimitTicket) {
    super(`needs funds: ${verdict.verdict}`);
    this.code = verdict.funded || !reason ? 'insufficient_balance' : 'free_tier_exceeded';
    this.reason = reason;
    this.shortfallMsat = msat(verdict.heldMsat - verdict.availableMsat);
    this.availableMsat = verdict.availableMsat;
    this.ticket = ticket;
  }
}

/** The key was changed since it was read: read it again, and check the request against what it says now. */
export class KeyChangedError extends GatewayError {
  constructor() {
    super('overloaded', { message: 'The key is being changed. Try again shortly.', retryAfter: 1 });
  }
}

/** Another request with the same Idempotency-Key was admitted first: look what became of it. */
export class RepeatedError extends GatewayError {
  constructor() {
    super('idempotency_in_progress', { param: 'idempotency-key', retryAfter: 1 });
  }
}

/**
 * Everything that stands between a request and a provider, in this order: rate limits, the request's own cost cap, and
 * in one transaction the key, its budget, and a free slot or a hold on the wallet; under the client's own provider key, the hold is for the
 * fee, and the budget is not asked. Resolves only when the hold is
 * committed. A refusal takes no slot, budget or tokens.
 */
export async function admit(deps: AdmissionDeps, request: AdmissionRequest): Promise<Admitted> {
  const { quote, apiKey } = request;
  // Decided by the ledger all the same: a key that was read before the freeze has another version than its row.
  if (isFrozen(apiKey)) throw new AccountFrozenError();
  refuseUnpayable(quote);
  const ticket = deps.rateLimit.check(apiKey, mostLimitedTokens(quote, request.completions));
  const mostTokens = capByCost(quote, request.maxCostPicoUsd);
  if (mostTokens < quote.leastTokens) {
    deps.rateLimit.refundTokens(ticket);
    throw new GatewayError('max_cost_exceeded', { headers: { ...ticket.headers } });
  }
  const since = performance.now();
  let hold: HoldVerdict;
  try {
    hold = await deps.holds.admit({
      requestId: request.requestId,
      accountId: apiKey.accountId,
      keyId: apiKey.id,
      keyVersion: apiKey.version,
      basePicoUsd: quote.basePicoUsd,
      perTokenPicoUsd: quote.perTokenPicoUsd,
      leastTokens: quote.leastTokens,
      mostTokens,
      freeMaxPicoUsd: deps.freeMaxPicoUsd,
      picoUsdPerMsat: request.picoUsdPerMsat,
      priceVersion: request.priceVersion,
      stream: request.stream,
      feeMsat: request.feeMsat,
      idempotency: request.idempotency,
    });
  } catch (error) {
    deps.rateLimit.cancel(ticket);
    if (error instanceof OutcomeUnknownError) releaseUnknown(deps.holds, request);
    throw asRefusal(error);
  }
  if (hold.verdict === 'admitted') return { hold, ticket, since };
  const refusal = refusalOf(hold.verdict === 'too_costly' ? { ...hold, verdict: deps.aboveFreeMax ?? 'too_costly' } : hold, ticket);
  // These are looked at again: only what becomes of them in the end counts.
  if (refusal instanceof KeyChangedError || refusal instanceof RepeatedError) deps.rateLimit.cancel(ticket);
  else deps.rateLimit.refundTokens(ticket);
  throw refusal;
}

/** What a request of somebody who has yet to pay is asked for. */
export interface PriceRequest extends Pick<AdmissionRequest, 'quote' | 'completions' | 'picoUsdPerMsat' | 'maxCostPicoUsd' | 'feeMsat'> {
  /** Whose limits it counts against; null where nobody is known. */
  apiKey: Pick<ApiKey, 'id' | 'accountId' | 'rateLimitRpm' | 'rateLimitTpm'> | null;
}

/**
 * What the least of a request costs that nobody has paid for: it is refused whatever the account has, and counts as any 402 does.
 * Throws `rate_limit_exceeded` and `max_cost_exceeded`, as `admit` does.
 */
export function priceUnpaid(rateLimit: RateLimit, request: PriceRequest): { shortfallMsat: Msat; headers: Record<string, string> } {
  const { apiKey, quote, completions, picoUsdPerMsat, maxCostPicoUsd } = request;
  refuseUnpayable(quote);
  const ticket = apiKey && rateLimit.check(apiKey, mostLimitedTokens(quote, completions));
  if (ticket) rateLimit.refundTokens(ticket);
  const headers = { ...ticket?.headers };
  if (capByCost(quote, maxCostPicoUsd) < quote.leastTokens) throw new GatewayError('max_cost_exceeded', { headers });
  return { shortfallMsat: request.feeMsat ?? msatFromPicoUsd(costBound(quote, quote.leastTokens), picoUsdPerMsat), headers };
}

/**
 * Takes one request of a key's limits for what is asked about a request, and nothing for the request itself. Throws `rate_limit_exceeded` and
 * `max_cost_exceeded`, as `admit` does.
 */
export function priceAhead(
  rateLimit: RateLimit,
  { apiKey, quote, maxCostPicoUsd }: Pick<PriceRequest, 'apiKey' | 'quote' | 'maxCostPicoUsd'>,
): { mostTokens: number; headers: Record<string, string> } {
  refuseUnpayable(quote);
  const headers = { ...(apiKey && rateLimit.check(apiKey, 0).headers) };
  const mostTokens = capByCost(quote, maxCostPicoUsd);
  if (mostTokens < quote.leastTokens) throw new GatewayError('max_cost_exceeded', { headers });
  return { mostTokens, headers };
}

function refuseUnpayable(quote: Quote): void {
  if (costBound(quote, quote.leastTokens) > LARGEST_COST)
    throw new GatewayError('invalid_request', { message: 'This request could cost more than a million US dollars, which none may.' });
}

/** The most output tokens that a cost cap leaves; below `leastTokens` when it does not cover the request. */
export function capByCost(quote: Quote, maxCostPicoUsd: PicoUsd | null): number {
  const most = maxCostPicoUsd !== null && maxCostPicoUsd < LARGEST_COST ? maxCostPicoUsd : LARGEST_COST;
  const room = most - quote.basePicoUsd;
  if (room < 0n) return -1;
  if (quote.perTokenPicoUsd === 0n) return quote.mostTokens;
  const affordable = room / quote.perTokenPicoUsd;
  return affordable < BigInt(quote.mostTokens) ? Number(affordable) : quote.mostTokens;
}

/**
 * The commit's outcome is unknown, so the request is not dispatched. Should the hold exist after all, it is released;
 * should its commit come later still, the sweeper releases it.
 */
function releaseUnknown(holds: Holds, { requestId, apiKey }: AdmissionRequest): void {
  const nothing = { chargeMsat: msat(0n), costPicoUsd: picoUsd(0n), freeDay: null };
  void holds.settle({ kind: 'settlement', requestId, accountId: apiKey.accountId, void: true, ...nothing }).catch(() => {});
}

function asRefusal(error: unknown): unknown {
  if (error instanceof OutcomeUnknownError) return new GatewayError('database_unavailable', { retryAfter: 1, cause: error });
  if (!(error instanceof NotCarriedOutError)) return error;
  const code = error.reason === 'database_away' ? 'database_unavailable' : 'overloaded';
  return new GatewayError(code, { retryAfter: 1, cause: error });
}

function refusalOf(hold: HoldVerdict, ticket: RateLimitTicket): Error {
  const headers = { ...ticket.headers };
  switch (hold.verdict as Refusal) {
    case 'key_gone':
    case 'unknown_account':
      return new GatewayError('invalid_api_key');
    case 'key_changed':
      return new KeyChangedError();
    case 'idempotency':
      return new RepeatedError();
    case 'budget':
      return new GatewayError('budget_exhausted', { fields: { resets_at: dayAfter(hold.budgetDay) }, headers });
    case 'free_streams':
    case 'free_requests':
      return new GatewayError('rate_limit_exceeded', {
        message: `Rate limit exceeded: too many free ${hold.verdict === 'free_streams' ? 'streams' : 'requests'} at once`,
        retryAfter: 1,
        headers,
        limit: hold.verdict === 'free_streams' ? 'streams' : 'rpm',
      });
    case 'used_up':
    case 'too_costly':
    case 'daily_ceiling':
      return new FundsNeededError(hold, hold.verdict as FundsNeededError['reason'], ticket);
    case 'fee':
      return new FundsNeededError(hold, undefined, ticket);
  }
}

/** 00:00 UTC after `day` (`YYYY-MM-DD`). */
function dayAfter(day: string): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString();
}
