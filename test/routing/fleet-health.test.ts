import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as settled } from 'node:timers/promises';
import { pino } from 'pino';
import { FleetHealth } from '../../src/routing/fleet-health.ts';
import { logReader } from '../../src/telemetry/log-reader.ts';
import type { AttemptOutcome } from '../../src/routing/gate.ts';
import { UNKNOWN_HEALTH } from '../../src/routing/view.ts';
import { deployment } from '../support/deployment.ts';
import { fakeWallClock, type WallClock } from '../support/wall-clock.ts';

const MINUTE = 60_000;
const MODEL = deployment({ id: 'fake/one' });
const OTHER = deployment({ id: 'fake/other' });
const OK: AttemptOutcome = { kind: 'ok', ttftMs: 40, outputTokens: 20, seconds: 1.04 };
const FAULT: AttemptOutcome = { kind: 'fault', reason: 'HTTP 500', retryAfterSeconds: null };

let clock: WallClock;
let told: { level: number; deployment?: string; reason?: string }[];
let health: FleetHealth;
beforeEach(() => {
  clock = fakeWallClock();
  told = [];
  health = new FleetHealth(logReader(pino({}, { write: (line: string) => void told.push(JSON.parse(line) as (typeof told)[number]) })));
});
afterEach(() => clock.restore());

function attempt(at: typeof MODEL, ...outcomes: AttemptOutcome[]): void {
  for (const outcome of outcomes) {
    const pass = health.enter(at);
    if ('shut' in pass) throw new Error(pass.shut);
    pass.end(outcome);
  }
}
const requests = () => Object.values(health.report('fake').windows).map((one) => one.requests);

describe('the spans', () => {
  it('are of all deployments of the provider, and null without traffic', () => {
    const none = { requests: 0, successRate: null, latencyMs: null, ttftMs: null, tokensPerSecond: null };
    expect(health.report('fake')).toEqual({ status: 'idle', windows: { '1m': none, '5m': none, '1h': none, '24h': none } });
    attempt(MODEL, OK, FAULT);
    attempt(OTHER, { kind: 'ok', ttftMs: null, outputTokens: 0, seconds: 2 }, { kind: 'void' });
    expect(health.report('fake').windows['24h']).toEqual({
      requests: 3,
      successRate: 2 / 3,
      latencyMs: 1_020,
      ttftMs: 40,
      tokensPerSecond: 20,
    });
    expect(health.report('another').windows['24h']).toEqual(none);
  });

  it('forget what is older, and nothing that is younger', () => {
    attempt(MODEL, OK);
    const seen: unknown[] = [];
    for (const ms of [MINUTE - 1_000, MINUTE * 2, 5 * MINUTE, 60 * MINUTE, 24 * 60 * MINUTE]) {
      clock.ms += ms;
      seen.push(requests().map((one) => Math.ceil(one)));
    }
    expect(seen).toEqual([
      [1, 1, 1, 1],
      [0, 1, 1, 1],
      [0, 0, 1, 1],
      [0, 0, 0, 1],
      [0, 0, 0, 0],
    ]);
  });

  it.each([
    ['active', 9, 1],
    ['degraded', 8, 1],
  ] as const)('are %s with %d of %d good ones', (status, ok, faults) => {
    for (let i = 0; i < ok; i++) attempt(MODEL, OK);
    for (let i = 0; i < faults; i++) attempt(MODEL, FAULT);
    expect(health.report('fake').status).toBe(status);
    clock.ms += 6 * MINUTE;
    expect(health.report('fake').status).toBe('idle');
  });
});

describe('the estimate', () => {
  it('is what is usual without traffic', () => {
    expect(health.healthOf(MODEL)).toEqual(UNKNOWN_HEALTH);
  });

  it('takes one fault for bad luck, and many for the truth', async () => {
    attempt(MODEL, FAULT);
    expect(health.healthOf(MODEL)).toMatchObject({ successRate: 5 / 6, samples: 1, available: true });
    attempt(MODEL, FAULT, FAULT, FAULT, FAULT);
    await settled();
    expect(health.healthOf(MODEL)).toMatchObject({ successRate: 0.5, samples: 5, available: false });
  });

  it('counts an attempt half after five minutes, in favour of what came since', () => {
    for (let i = 0; i < 4; i++) attempt(MODEL, FAULT);
    clock.ms += 5 * MINUTE;
    expect(health.healthOf(MODEL).samples).toBeCloseTo(2);
    expect(health.healthOf(MODEL).successRate).toBeCloseTo(5 / 7);
    attempt(MODEL, OK, OK, { kind: 'ok', ttftMs: 100, outputTokens: 20, seconds: 1.1 });
    expect(health.healthOf(MODEL)).toMatchObject({ samples: 5, successRate: 0.8, ttftMs: 60, tokensPerSecond: 20 });
    clock.ms += 24 * 60 * MINUTE;
    expect(health.healthOf(MODEL).successRate).toBeCloseTo(1);
  });

  it('takes no half-open circuit its attempt', async () => {
    for (let i = 0; i < 5; i++) attempt(MODEL, FAULT);
    await settled();
    clock.ms += 1_000;
    for (let i = 0; i < 10; i++) expect(health.healthOf(MODEL).available).toBe(true);
    expect(health.enter(MODEL)).not.toHaveProperty('shut');
    expect(health.healthOf(MODEL).available).toBe(false);
    expect(health.report('fake').status).toBe('degraded');
  });
});

it('says once that a circuit opened and why, and once that it closed', async () => {
  for (let i = 0; i < 5; i++) attempt(MODEL, FAULT);
  for (let probe = 0; probe < 3; probe++) {
    await settled();
    clock.ms += MINUTE;
    attempt(MODEL, probe < 2 ? FAULT : OK);
  }
  await settled();
  expect(told).toMatchObject([
    { level: 40, deployment: 'fake/one', reason: 'HTTP 500' },
    { level: 30, deployment: 'fake/one' },
  ]);
});

it('remembers no deployment of which it learned nothing', () => {
  for (let i = 0; i < 100; i++) attempt(deployment({ id: `fake/${i}` }), { kind: 'void' });
  expect(health.take()).toEqual([]);
  attempt(MODEL, OK);
  health.take();
  health.written(true);
  clock.ms += 26 * 60 * MINUTE;
  health.prune();
  expect(health.healthOf(MODEL)).toBe(UNKNOWN_HEALTH);
});
