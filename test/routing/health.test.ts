import { describe, expect, it } from '@jest/globals';
import { createProviderHealth } from '../../src/routing/health.ts';

function setUp(at = 1_000_000) {
  const clock = { ms: at };
  return { clock, health: createProviderHealth(() => clock.ms) };
}

const NONE = { requests: 0, successRate: null, latencyMs: null };

describe('ProviderHealth', () => {
  it('knows nothing of a provider without traffic', () => {
    const { health } = setUp();
    expect(health.snapshot('p')).toEqual({ status: 'idle', windows: { '1m': NONE, '5m': NONE, '1h': NONE, '24h': NONE } });
  });

  it('takes the rate over all requests and the latency over the successful ones', () => {
    const { health } = setUp();
    health.observe('p', { ok: true, latencyMs: 100 });
    health.observe('p', { ok: true, latencyMs: 200 });
    health.observe('p', { ok: false, latencyMs: 9_000 });
    const seen = { requests: 3, successRate: 2 / 3, latencyMs: 150 };
    expect(health.snapshot('p').windows).toEqual({ '1m': seen, '5m': seen, '1h': seen, '24h': seen });
    expect(health.snapshot('other').windows['1m']).toEqual(NONE);
  });

  it.each([
    ['1m', 60_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['24h', 86_400_000],
  ] as const)('forgets in %s what is older, and nothing much younger', (window, spanMs) => {
    const { clock, health } = setUp();
    health.observe('p', { ok: true, latencyMs: 1 });
    clock.ms += spanMs * 0.98;
    expect(health.snapshot('p').windows[window].requests).toBe(1);
    clock.ms += spanMs * 0.02;
    expect(health.snapshot('p').windows[window]).toEqual(NONE);
  });

  it('is active, degraded when more than a tenth failed lately, and idle again after 5 minutes', () => {
    const { clock, health } = setUp();
    for (let i = 0; i < 9; i++) health.observe('p', { ok: true, latencyMs: 1 });
    expect(health.snapshot('p').status).toBe('active');
    health.observe('p', { ok: false, latencyMs: 1 });
    expect(health.snapshot('p').status).toBe('active');
    health.observe('p', { ok: false, latencyMs: 1 });
    expect(health.snapshot('p').status).toBe('degraded');
    clock.ms += 300_000;
    expect(health.snapshot('p').status).toBe('idle');
  });

  it('uses a bucket again without keeping what was in it', () => {
    const { clock, health } = setUp(0);
    for (let i = 0; i < 1000; i++) {
      health.observe('p', { ok: true, latencyMs: 1 });
      clock.ms += 1_000;
    }
    clock.ms -= 1_000;
    expect(health.snapshot('p').windows['1m'].requests).toBe(60);
  });

  it('leaves a late observation out of the spans that have passed', () => {
    const { clock, health } = setUp();
    clock.ms += 120_000;
    health.observe('p', { ok: true, latencyMs: 1, at: clock.ms - 90_000 });
    const { windows } = health.snapshot('p');
    expect([windows['1m'].requests, windows['5m'].requests]).toEqual([0, 1]);
  });
});
