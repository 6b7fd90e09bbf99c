import { describe, expect, it } from '@jest/globals';
import { RateLimit, type RateLimitOptions } from '../../src/admission/rate-limit.ts';
import { GatewayError } from '../../src/errors.ts';

const key = { id: 'k1', accountId: 'a1', rateLimitRpm: null, rateLimitTpm: null };

function setUp(options: Partial<RateLimitOptions> = {}) {
  const clock = { ms: 1_000_000 };
  const limit = new RateLimit({ requestsPerMinute: 10, tokensPerMinute: 1000, now: () => clock.ms, ...options });
  return { clock, limit };
}

function refusal(attempt: () => unknown): GatewayError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

describe('RateLimit', () => {
  it('lets exactly the limit pass in a minute and says which limit was met', () => {
    const { limit } = setUp();
    for (let i = 0; i < 10; i++) limit.check(key, 1);
    const error = refusal(() => limit.check(key, 1));
    expect(error.code).toBe('rate_limit_exceeded');
    expect(error.message).toBe('Rate limit exceeded: 10 RPM');
    expect(error.detail.retryAfter).toBe(60);
  });

  it('slides: no more than the limit passes around the edge of a minute', () => {
    const { clock, limit } = setUp();
    clock.ms = 1_055_000;
    for (let i = 0; i < 10; i++) limit.check(key, 1);
    clock.ms = 1_065_000;
    expect(refusal(() => limit.check(key, 1)).detail.retryAfter).toBe(50);
    clock.ms = 1_114_999;
    expect(refusal(() => limit.check(key, 1)).detail.retryAfter).toBe(1);
    clock.ms = 1_115_000;
    expect(() => limit.check(key, 1)).not.toThrow();
  });

  it('admits a request exactly when the promised Retry-After has passed', () => {
    const { clock, limit } = setUp();
    for (let i = 0; i < 10; i++) {
      limit.check(key, 1);
      clock.ms += 3_000;
    }
    const { retryAfter = 0 } = refusal(() => limit.check(key, 1)).detail;
    expect(retryAfter).toBe(30);
    clock.ms += retryAfter * 1000 - 1000;
    refusal(() => limit.check(key, 1));
    clock.ms += 1000;
    limit.check(key, 1);
    refusal(() => limit.check(key, 1));
  });

  it("holds a key to its own limit below the account's, and all keys of an account to the account's", () => {
    const { limit } = setUp();
    const small = { ...key, id: 'small', rateLimitRpm: 3 };
    for (let i = 0; i < 3; i++) limit.check(small, 1);
    expect(refusal(() => limit.check(small, 1)).message).toBe('Rate limit exceeded: 3 RPM');
    for (let i = 0; i < 7; i++) limit.check({ ...key, id: `other${i}` }, 1);
    expect(refusal(() => limit.check(key, 1)).message).toBe('Rate limit exceeded: 10 RPM');
    expect(() => limit.check({ ...key, id: 'stranger', accountId: 'a2' }, 1)).not.toThrow();
  });

  it('does not let a key raise its limit above the operator’s', () => {
    const { limit } = setUp();
    const greedy = { ...key, rateLimitRpm: 1_000_000, rateLimitTpm: 1_000_000 };
    expect(limit.check(greedy, 1).headers).toMatchObject({
      'X-Pura-RateLimit-Limit-Requests': '10',
      'X-Pura-RateLimit-Limit-Tokens': '1000',
    });
  });

  it('takes tokens at the check and corrects them to what was used', () => {
    const { limit } = setUp();
    const ticket = limit.check(key, 900);
    expect(refusal(() => limit.check(key, 200)).message).toBe('Rate limit exceeded: 1000 TPM');
    limit.correct(ticket, 100);
    expect(limit.check(key, 900).headers).toMatchObject({
      'X-Pura-RateLimit-Remaining-Tokens': '0',
      'X-Pura-RateLimit-Remaining-Requests': '8',
    });
  });

  it('takes nothing for a refusal, counts a 402 as a request without tokens, and forgets a cancelled one', () => {
    const { limit } = setUp();
    refusal(() => limit.check(key, 1001));
    limit.refundTokens(limit.check(key, 1000));
    limit.cancel(limit.check(key, 1000));
    expect(limit.check(key, 0).headers).toMatchObject({
      'X-Pura-RateLimit-Remaining-Tokens': '1000',
      'X-Pura-RateLimit-Remaining-Requests': '8',
    });
  });

  it('ignores a correction of what has left the window', () => {
    const { clock, limit } = setUp();
    const ticket = limit.check(key, 1000);
    clock.ms += 60_000;
    limit.check(key, 600);
    limit.correct(ticket, 0);
    expect(refusal(() => limit.check(key, 500)).code).toBe('rate_limit_exceeded');
  });

  it('says in how many seconds all of it is back', () => {
    const { clock, limit } = setUp();
    limit.check(key, 1);
    clock.ms += 20_000;
    const error = refusal(() => limit.check(key, 1_000));
    expect(error.detail.headers).toMatchObject({ 'X-Pura-RateLimit-Reset-Requests': '40', 'X-Pura-RateLimit-Reset-Tokens': '40' });
    expect(error.detail.retryAfter).toBe(40);
  });

  it('remembers no more keys than it may, and none that were idle for a minute', () => {
    const { clock, limit } = setUp({ maxTracked: 100 });
    for (let i = 0; i < 1000; i++) limit.check({ ...key, id: `k${i}`, accountId: `a${i}` }, 1);
    expect(limit.tracked).toBeLessThanOrEqual(102);
    clock.ms += 61_000;
    limit.check(key, 1);
    expect(limit.tracked).toBe(2);
  });
});
