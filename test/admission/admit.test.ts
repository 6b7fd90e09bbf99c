import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { ApiKey } from '../../src/accounts/api-key.ts';
import { admit, capByCost, FundsNeededError, KeyChangedError, RepeatedError, type AdmissionRequest } from '../../src/admission/admit.ts';
import { RateLimit } from '../../src/admission/rate-limit.ts';
import type { Quote } from '../../src/metering/quote.ts';
import { NotCarriedOutError, OutcomeUnknownError } from '../../src/db/batch.ts';
import { GatewayError } from '../../src/errors.ts';
import { msat, picoUsd } from '../../src/amount.ts';
import type { Admission, HoldVerdict, Settlement } from '../../src/ledger/hold.ts';
import type { Holds } from '../../src/ledger/holds.ts';
import { RATE } from '../support/holds.ts';

const key: ApiKey = {
  id: randomUUID(),
  accountId: randomUUID(),
  role: 'owner',
  label: null,
  prefix: 'pura_test',
  dailyBudgetPicoUsd: picoUsd(10n ** 13n),
  rateLimitRpm: null,
  rateLimitTpm: null,
  allowedModels: null,
  expiresAt: null,
  revokedAt: null,
  lastUsedAt: null,
  createdAt: new Date(0),
  version: 1,
};

const quote: Quote = { basePicoUsd: picoUsd(1_000n), perTokenPicoUsd: picoUsd(10n), leastTokens: 256, mostTokens: 4_096, promptTokens: 50 };

const verdict: HoldVerdict = {
  verdict: 'admitted',
  funding: 'wallet',
  tokens: 4_096,
  heldMsat: msat(42n),
  chargedMsat: msat(0n),
  costPicoUsd: picoUsd(41_960n),
  availableMsat: msat(30n),
  freeUsed: 0,
  freeLimit: 3,
  budgetLeftPicoUsd: picoUsd(0n),
  budgetDay: '2026-12-31',
  funded: true,
};

/** Admission against a ledger that answers as told. `left` tells what is left of 3 requests and 10,000 tokens a minute. */
function setUp(answer: Partial<HoldVerdict> | Error) {
  const asked: Omit<Admission, 'kind'>[] = [];
  const settled: Settlement[] = [];
  const holds: Pick<Holds, 'admit' | 'settle'> = {
    admit(admission) {
      asked.push(admission);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve({ ...verdict, ...answer });
    },
    settle(settlement) {
      settled.push(settlement);
      return Promise.resolve({ ...verdict, verdict: 'unknown_hold' });
    },
  };
  const rateLimit = new RateLimit({ requestsPerMinute: 3, tokensPerMinute: 10_000, now: () => 0 });
  const request: AdmissionRequest = {
    requestId: randomUUID(),
    apiKey: key,
    quote,
    completions: 2,
    priceVersion: 7,
    picoUsdPerMsat: RATE,
    maxCostPicoUsd: null,
    stream: false,
  };
  const ask = (overrides: Partial<AdmissionRequest> = {}) =>
    admit({ holds: holds as Holds, rateLimit, freeMaxPicoUsd: picoUsd(5n) }, { ...request, ...overrides });
  const left = () => {
    const { headers } = rateLimit.check(key, 0);
    return {
      requests: Number(headers['X-Pura-RateLimit-Remaining-Requests']) + 1,
      tokens: Number(headers['X-Pura-RateLimit-Remaining-Tokens']),
    };
  };
  return { asked, settled, request, ask, left };
}

async function refusal(attempt: Promise<unknown>): Promise<GatewayError> {
  const error = await attempt.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof GatewayError) return error;
  throw new Error(`expected a refusal, got ${String(error)}`);
}

describe('admit', () => {
  it('asks the ledger for what the request may cost, and takes its prompt and output cap from the limits', async () => {
    const { ask, asked, request, left } = setUp({});
    const before = performance.now();
    const { hold, ticket, since } = await ask();
    expect(hold).toEqual(verdict);
    expect(asked).toEqual([
      {
        requestId: request.requestId,
        accountId: key.accountId,
        keyId: key.id,
        keyVersion: 1,
        basePicoUsd: 1_000n,
        perTokenPicoUsd: 10n,
        leastTokens: 256,
        mostTokens: 4_096,
        freeMaxPicoUsd: 5n,
        picoUsdPerMsat: RATE,
        priceVersion: 7,
        stream: false,
        idempotency: undefined,
      },
    ]);
    expect(ticket.tokens).toBe(50 + 2 * 4_096);
    expect(since).toBeGreaterThanOrEqual(before);
    expect(left()).toEqual({ requests: 2, tokens: 10_000 - 50 - 2 * 4_096 });
  });

  it('asks for no more tokens than the cap of the request covers', async () => {
    const { ask, asked } = setUp({});
    await ask({ maxCostPicoUsd: picoUsd(1_000n + 3_009n) });
    expect(asked).toMatchObject([{ leastTokens: 256, mostTokens: 300 }]);
  });

  it('refuses a request whose own cap is below its least cost, without asking the ledger', async () => {
    const { ask, asked, left } = setUp({});
    const error = await refusal(ask({ maxCostPicoUsd: picoUsd(1_000n + 2_559n) }));
    expect(error.code).toBe('max_cost_exceeded');
    expect(error.detail.headers).toHaveProperty('X-Pura-RateLimit-Limit-Requests', '3');
    expect(asked).toEqual([]);
    expect(left()).toEqual({ requests: 2, tokens: 10_000 });
  });

  it('meets the rate limits before anything else', async () => {
    const { ask, asked } = setUp({});
    const error = await refusal(ask({ completions: 3, maxCostPicoUsd: picoUsd(0n) }));
    expect(error.code).toBe('rate_limit_exceeded');
    expect(asked).toEqual([]);
  });

  it.each([
    ['key_gone', 'invalid_api_key'],
    ['unknown_account', 'invalid_api_key'],
    ['budget', 'budget_exhausted'],
    ['free_streams', 'rate_limit_exceeded'],
  ] as const)('turns the verdict %s into %s, which takes no tokens', async (word, code) => {
    const { ask, left } = setUp({ verdict: word });
    expect((await refusal(ask())).code).toBe(code);
    expect(left()).toEqual({ requests: 2, tokens: 10_000 });
  });

  it('tells when an exhausted budget begins anew', async () => {
    const error = await refusal(setUp({ verdict: 'budget' }).ask());
    expect(error.detail.fields).toEqual({ resets_at: '2027-01-01T00:00:00.000Z' });
  });

  it.each(['used_up', 'too_costly', 'daily_ceiling'] as const)('tells what is missing where funds are needed: %s', async (word) => {
    for (const [funded, code] of [
      [false, 'free_tier_exceeded'],
      [true, 'insufficient_balance'],
    ] as const) {
      const { ask, left } = setUp({ verdict: word, funded });
      const error: unknown = await ask().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(FundsNeededError);
      expect(error).toMatchObject({ code, reason: word, shortfallMsat: 12n });
      expect(left()).toEqual({ requests: 2, tokens: 10_000 });
    }
  });

  it.each([
    ['key_changed', KeyChangedError, 'overloaded'],
    ['idempotency', RepeatedError, 'idempotency_in_progress'],
  ] as const)('has the request looked at again on the verdict %s, which takes nothing from the limits', async (word, kind, code) => {
    const { ask, left } = setUp({ verdict: word });
    const error = await refusal(ask());
    expect(error).toBeInstanceOf(kind);
    // What the client is told where that goes on and on.
    expect([error.code, error.detail.retryAfter]).toEqual([code, 1]);
    expect(left()).toEqual({ requests: 3, tokens: 10_000 });
  });

  it.each([
    [new NotCarriedOutError('queue_full'), 'overloaded'],
    [new NotCarriedOutError('locked'), 'overloaded'],
    [new NotCarriedOutError('database_away'), 'database_unavailable'],
    [new OutcomeUnknownError('lost'), 'database_unavailable'],
  ])('turns %p into %s, which takes nothing from the limits', async (error, code) => {
    const { ask, left } = setUp(error);
    const refused = await refusal(ask());
    expect([refused.code, refused.detail.retryAfter]).toEqual([code, 1]);
    expect(left()).toEqual({ requests: 3, tokens: 10_000 });
  });

  it('releases a hold of which it is not known whether it was placed, and only such a one', async () => {
    const unknown = setUp(new OutcomeUnknownError('lost'));
    await refusal(unknown.ask());
    const { requestId } = unknown.request;
    expect(unknown.settled).toMatchObject([{ requestId, accountId: key.accountId, void: true, chargeMsat: 0n, costPicoUsd: 0n }]);
    const certain = setUp(new NotCarriedOutError('database_away'));
    await refusal(certain.ask());
    expect(certain.settled).toEqual([]);
  });

  it("passes the database's own error on", async () => {
    const error = Object.assign(new Error('out of range'), { code: '22003' });
    await expect(setUp(error).ask()).rejects.toBe(error);
  });
});

describe('capByCost', () => {
  it.each([
    ['no cap', null, 10n, 4_096],
    ['a cap that covers everything', 10n ** 12n, 10n, 4_096],
    ['a cap for some tokens', 1_000n + 999n, 10n, 99],
    ['a cap for the prompt alone', 1_000n, 10n, 0],
    ['a cap below the prompt', 999n, 10n, -1],
    ['tokens that cost nothing', 1_000n, 0n, 4_096],
  ])('grants with %s what it covers', (_, cap, perToken, tokens) => {
    expect(capByCost({ ...quote, perTokenPicoUsd: picoUsd(perToken) }, cap === null ? null : picoUsd(cap))).toBe(tokens);
  });
});
