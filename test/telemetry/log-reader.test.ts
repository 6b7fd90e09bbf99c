import { beforeEach, describe, expect, it } from '@jest/globals';
import { createLog } from '../../src/log.ts';
import type { Observation } from '../../src/observation.ts';
import { fanOut } from '../../src/telemetry/fan-out.ts';
import { logReader } from '../../src/telemetry/log-reader.ts';

let lines: Record<string, unknown>[];
const logTo = (level: string) =>
  createLog(level, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
beforeEach(() => {
  lines = [];
});
const INFO = 30;
const WARN = 40;
const ERROR = 50;

describe('the log', () => {
  it.each<[Observation, number, Record<string, unknown>]>([
    [{ kind: 'settlement_late', requestId: 'r' }, WARN, { requestId: 'r', msg: 'a settlement waits for the database' }],
    [{ kind: 'answer_cost_more', requestId: 'r', overrunPicoUsd: 12n }, WARN, { overrunPicoUsd: '12' }],
    [{ kind: 'charge_given_back', requestId: 'r', refundedMsat: null }, INFO, { requestId: 'r', refunded: false }],
    [{ kind: 'service_failed', requestId: 'r', code: 'internal_error', err: new Error('bug') }, ERROR, { code: 'internal_error' }],
    [
      { kind: 'service_failed', requestId: 'r', code: 'overloaded', err: new Error('much') },
      WARN,
      { msg: 'a request could not be served' },
    ],
    [
      { kind: 'deposit', invoiceId: 'i', receivedMsat: 21_000n, via: 'invoice', settledAt: null, startedAt: 1, endedAt: 2 },
      INFO,
      { invoiceId: 'i', receivedMsat: '21000', msg: 'credited a payment' },
    ],
  ])('tells of %p', (observation, level, told) => {
    logReader(logTo('info'))(observation);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level, ...told });
    expect(lines[0]).not.toHaveProperty('kind');
  });

  it('tells of errors without what libraries hang on them', () => {
    const err = Object.assign(new Error('broken'), { code: '23505', detail: 'Key (secret)=(canary)' });
    logReader(logTo('info'))({ kind: 'refund_late', requestId: 'r', err });
    expect(lines[0]).toMatchObject({ err: { message: 'broken', code: '23505' } });
    expect(JSON.stringify(lines)).not.toContain('canary');
  });

  it.each<Observation>([
    { kind: 'refusal', limit: 'rpm' },
    { kind: 'sign_in', how: 'key', result: 'refused' },
    { kind: 'watcher_progress' },
  ])('has no line for %p', (observation) => {
    logReader(logTo('trace'))(observation);
    expect(lines).toEqual([]);
  });

  it('keeps to its level', () => {
    logReader(logTo('error'))({ kind: 'settlement_late', requestId: 'r' });
    expect(lines).toEqual([]);
  });
});

describe('a reader that fails', () => {
  it('hurts neither the others nor what is observed, and is told of once', () => {
    const heard: string[] = [];
    const observe = fanOut(
      [
        () => {
          throw new Error('a bug of the reader');
        },
        ({ kind }) => heard.push(kind),
      ],
      logTo('info'),
    );
    observe({ kind: 'watcher_progress' });
    observe({ kind: 'refusal', limit: 'tpm' });
    expect(heard).toEqual(['watcher_progress', 'refusal']);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: ERROR, kind: 'watcher_progress', err: { message: 'a bug of the reader' } });
  });
});
