import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { GatewayError } from '../../../src/errors.ts';
import { RefusalLog } from '../../../src/http/server/refusal-log.ts';
import { createLog } from '../../../src/log.ts';
import { logReader } from '../../../src/telemetry/log-reader.ts';

interface Line {
  level: number;
  msg: string;
  requestId?: string;
  code: string;
  reason?: string;
  more?: number;
  err?: { message: string; stack: string };
}

const WARN = 40;
const ERROR = 50;

let lines: Line[];
let refusals: RefusalLog;

beforeEach(() => {
  jest.useFakeTimers();
  lines = [];
  refusals = new RefusalLog(logReader(createLog('info', { write: (line) => void lines.push(JSON.parse(line) as Line) })));
});

afterEach(() => {
  jest.useRealTimers();
});

function refused(code: 'database_unavailable' | 'overloaded' | 'internal_error' | 'invalid_request', reason?: string): GatewayError {
  return new GatewayError(code, { cause: reason ? Object.assign(new Error(`because of ${reason}`), { code: reason }) : undefined });
}

describe('an outage that refuses thousands of requests', () => {
  it('is told whole once a second, and counted', () => {
    for (let n = 0; n < 5000; n++) refusals.write(refused('database_unavailable', 'ECONNREFUSED'), `request-${n}`);
    jest.advanceTimersByTime(1000);
    refusals.write(refused('database_unavailable', 'ECONNREFUSED'), 'request-5000');
    jest.advanceTimersByTime(1000);

    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatchObject({ level: WARN, requestId: 'request-0', code: 'database_unavailable' });
    expect(lines[0]?.err?.message).toBe('because of ECONNREFUSED');
    expect(lines[1]).toMatchObject({ level: WARN, code: 'database_unavailable', reason: 'ECONNREFUSED', more: 4999 });
    expect(lines[2]).toMatchObject({ level: WARN, requestId: 'request-5000' });
  });

  it('hides no other reason', () => {
    for (let n = 0; n < 10; n++) refusals.write(refused('database_unavailable', 'ECONNREFUSED'), `a-${n}`);
    refusals.write(refused('database_unavailable', '53100'), 'b');
    refusals.write(refused('overloaded'), 'c');
    expect(lines.map(({ requestId }) => requestId)).toEqual(['a-0', 'b', 'c']);
  });
});

it('a bug is written each time, as an error', () => {
  refusals.write(refused('internal_error', 'TypeError'), 'a');
  refusals.write(refused('internal_error', 'TypeError'), 'b');
  expect(lines.map(({ level, requestId }) => [level, requestId])).toEqual([
    [ERROR, 'a'],
    [ERROR, 'b'],
  ]);
});

it("what is the client's fault is not written", () => {
  refusals.write(refused('invalid_request'), 'a');
  expect(lines).toEqual([]);
});
