import type { ApiKey } from '../accounts/api-key.ts';
import { GatewayError } from '../errors.ts';
import { SlidingWindow } from './sliding-window.ts';

export interface RateLimitOptions {
  /** The operator's limits: those of a key without its own, and of every account. */
  requestsPerMinute: number;
  tokensPerMinute: number;
  /** A monotonic clock in milliseconds. */
  now?: () => number;
  /** Keys and accounts remembered at most; past that the longest unused is forgotten. */
  maxTracked?: number;
}

/** What a request took, to be corrected once it is known what it really used. */
export interface RateLimitTicket {
  /** `X-Pura-RateLimit-*` as they stand after this request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly holders: readonly [Holder, Holder];
  readonly second: number;
  /** What is taken now; 0 after a refund. */
  tokens: number;
  requests: number;
}

interface Holder {
  readonly requests: SlidingWindow;
  readonly tokens: SlidingWindow;
}

type LimitedKey = Pick<ApiKey, 'id' | 'accountId' | 'rateLimitRpm' | 'rateLimitTpm'>;

interface Limits {
  requests: number;
  tokens: number;
}

const IDLE_SECONDS = 60;

/**
 * Requests and tokens a minute, per key and per account, sliding over 60 seconds, in this process's memory.
 * Synchronous: nothing can come between the check and the taking. A refusal takes nothing.
 */
export class RateLimit {
  readonly #options: Required<RateLimitOptions>;
  /** In the order of their last use, so that the idle ones are found at the front. */
  readonly #holders = new Map<string, Holder>();

  constructor(options: RateLimitOptions) {
    this.#options = { now: () => performance.now(), maxTracked: 50_000, ...options };
  }

  /** Keys and accounts remembered now. */
  get tracked(): number {
    return this.#holders.size;
  }

  /**
   * Takes one request and `tokens` (prompt and output cap) from the limits of the key and of its account.
   * Throws `rate_limit_exceeded`, with the seconds after which the request would pass, where either has too little left.
   */
  check(key: LimitedKey, tokens: number): RateLimitTicket {
    const { second, own, account, holders } = this.#standing(key);
    refuseRequests(holders, own, account);
    holders.forEach((holder, index) => {
      refuseOver(holder.tokens, (index === 0 ? own : account).tokens, tokens, 'TPM', () => headersOf(holders, own, account));
    });
    for (const holder of holders) {
      holder.requests.add(1);
      holder.tokens.add(tokens);
    }
    return { headers: headersOf(holders, own, account), holders, second, tokens, requests: 1 };
  }

  /** Throws `rate_limit_exceeded` where the key or its account has no request left, whatever it is for. Takes nothing. */
  refuseExhausted(key: LimitedKey): void {
    const { own, account, holders } = this.#standing(key);
    refuseRequests(holders, own, account);
  }

  /** Takes one request for what was refused before it could be checked: it has cost its reading. */
  countRefusal(key: LimitedKey): void {
    for (const holder of this.#standing(key).holders) holder.requests.add(1);
  }

  /** Replaces the tokens taken at the check by those really used. Without effect once they have left the window. */
  correct(ticket: RateLimitTicket, tokens: number): void {
    for (const holder of ticket.holders) holder.tokens.correct(ticket.second, tokens - ticket.tokens);
    ticket.tokens = tokens;
  }

  /** Gives the tokens back and lets the request count: for a 402. */
  refundTokens(ticket: RateLimitTicket): void {
    this.correct(ticket, 0);
  }

  /** Gives everything back: for a request that was refused for no fault of its sender. */
  cancel(ticket: RateLimitTicket): void {
    this.correct(ticket, 0);
    for (const holder of ticket.holders) holder.requests.correct(ticket.second, -ticket.requests);
    ticket.requests = 0;
  }

  #standing(key: LimitedKey) {
    const second = Math.floor(this.#options.now() / 1000);
    this.#forgetIdle(second);
    const account: Limits = { requests: this.#options.requestsPerMinute, tokens: this.#options.tokensPerMinute };
    const own: Limits = {
      requests: Math.min(key.rateLimitRpm ?? Infinity, account.requests),
      tokens: Math.min(key.rateLimitTpm ?? Infinity, account.tokens),
    };
    const holders = [this.#holder(`key:${key.id}`, second), this.#holder(`account:${key.accountId}`, second)] as const;
    return { second, own, account, holders };
  }

  #holder(name: string, second: number): Holder {
    let holder = this.#holders.get(name);
    // Once a second is enough to keep the order, which goes by seconds.
    if (holder?.requests.second === second) return holder;
    if (holder) this.#holders.delete(name);
    else holder = { requests: new SlidingWindow(second), tokens: new SlidingWindow(second) };
    this.#holders.set(name, holder);
    holder.requests.advance(second);
    holder.tokens.advance(second);
    return holder;
  }

  /** A window unused for a minute is empty: forgetting it changes nothing. */
  #forgetIdle(second: number): void {
    for (const [name, holder] of this.#holders) {
      if (this.#holders.size <= this.#options.maxTracked && holder.requests.second > second - IDLE_SECONDS) return;
      this.#holders.delete(name);
    }
  }
}

function refuseRequests(holders: readonly [Holder, Holder], own: Limits, account: Limits): void {
  holders.forEach((holder, index) => {
    refuseOver(holder.requests, (index === 0 ? own : account).requests, 1, 'RPM', () => headersOf(holders, own, account));
  });
}

function refuseOver(
  window: SlidingWindow,
  limit: number,
  amount: number,
  unit: 'RPM' | 'TPM',
  headers: () => Record<string, string>,
): void {
  const excess = window.total + amount - limit;
  if (excess <= 0) return;
  throw new GatewayError('rate_limit_exceeded', {
    message: `Rate limit exceeded: ${limit} ${unit}`,
    retryAfter: window.secondsUntilFreed(excess),
    headers: headers(),
    limit: unit === 'RPM' ? 'rpm' : 'tpm',
  });
}

function headersOf([key, account]: readonly [Holder, Holder], own: Limits, whole: Limits): Record<string, string> {
  const requests = stateOf(key.requests, own.requests, account.requests, whole.requests);
  const tokens = stateOf(key.tokens, own.tokens, account.tokens, whole.tokens);
  // Written out: names put together on every request made these the dearest six headers of an answer.
  return {
    'X-Pura-RateLimit-Limit-Requests': requests.limit,
    'X-Pura-RateLimit-Remaining-Requests': requests.remaining,
    'X-Pura-RateLimit-Reset-Requests': requests.reset,
    'X-Pura-RateLimit-Limit-Tokens': tokens.limit,
    'X-Pura-RateLimit-Remaining-Tokens': tokens.remaining,
    'X-Pura-RateLimit-Reset-Tokens': tokens.reset,
  };
}

/** The key's limit, what is left of it and of the account's, and the seconds until all of the scarcer one is back. */
function stateOf(key: SlidingWindow, limit: number, account: SlidingWindow, accountLimit: number) {
  const keyLeft = limit - key.total;
  const accountLeft = accountLimit - account.total;
  const scarcer = accountLeft < keyLeft ? account : key;
  return {
    limit: String(limit),
    remaining: String(Math.max(0, Math.min(keyLeft, accountLeft))),
    reset: String(scarcer.secondsUntilEmpty()),
  };
}
