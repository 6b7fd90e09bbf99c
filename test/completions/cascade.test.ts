import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { cascade, type Climbed } from '../../src/completions/cascade.ts';
import type { UnderWay } from '../../src/completions/call.ts';
import type { ReachDeps } from '../../src/completions/reach.ts';
import { contentEvent, finishEvent, usageEvent } from '../support/fake-provider.ts';
import { pass, start } from '../support/reach-bench.ts';

const TOTAL_MS = 120_000;
const DONE = 'data: [DONE]\n\n';

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate'] });
});

afterEach(() => {
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

/** A streamed cascade of two steps, one provider each. The bench asks nobody by itself: its gate is shut at first. */
async function climb() {
  const { call, plan, grant, gate, client, end } = start({
    shut: { first: { shut: 'limit reached', retryAfterSeconds: 1 }, second: { shut: 'limit reached', retryAfterSeconds: 1 } },
  });
  await end;
  gate.shut.clear();
  const deps = {
    config: { UPSTREAM_TIMEOUT_SECONDS: TOTAL_MS / 1000, markupBasisPoints: 0n },
    health: { observe: () => {} },
    gate,
    accountHashOf: () => '',
  } as unknown as ReachDeps;
  const routing = { ...call.request.routing, cascade: { threshold: 0.7, maxDepth: 3 } };
  const underWay: UnderWay = {
    call: { ...call, request: { ...call.request, routing } },
    plan: { ...plan, steps: plan.candidates.map((candidate) => [candidate]) },
    grant: { ...grant, earlier: [] },
  };
  const climbed: Promise<Climbed> = cascade(deps, underWay);
  const [first, second] = plan.candidates.map(({ deployment }) => deployment.provider) as unknown as [
    ReturnType<typeof start>['first'],
    ReturnType<typeof start>['second'],
  ];
  return { first, second, client, climbed, grant };
}

describe('a step that is held back', () => {
  it('has its time from the first word on, and is then given up for the next one', async () => {
    const { first, second, client, climbed } = await climb();
    await first.begin();
    first.tell(contentEvent('It is'));
    await pass(TOTAL_MS - 1);
    expect([first.aborted, second.asked, client.written]).toEqual([false, false, '']);
    await pass(1);
    expect([first.aborted, second.asked]).toEqual([true, true]);
    await second.begin();
    second.tell(contentEvent('Paris.'));
    expect(client.written).toBe(contentEvent('Paris.'));
    second.tell(finishEvent(), usageEvent(), DONE);
    expect(await climbed).toMatchObject({
      ending: { kind: 'stream', end: { reason: 'complete' } },
      climb: { depth: 2, passed: [], held: null },
    });
  });

  it('is given up where it is too long to be held', async () => {
    const { first, second, climbed, client } = await climb();
    await first.begin();
    for (let mebibyte = 0; mebibyte < 17; mebibyte++) first.tell(contentEvent('x'.repeat(1024 * 1024 - 200)));
    await pass(0);
    expect([first.aborted, second.asked, client.written]).toEqual([true, true, '']);
    await second.begin();
    second.tell(contentEvent('Paris.'), finishEvent(), usageEvent(), DONE);
    expect(await climbed).toMatchObject({ climb: { depth: 2, passed: [] } });
  });

  it('ends with the whole request, and nobody else is asked', async () => {
    const { first, second, climbed, grant } = await climb();
    await first.begin();
    first.tell(contentEvent('It is'));
    grant.cancellation.cancel('shutdown');
    expect(await climbed).toMatchObject({ ending: { kind: 'failed' }, climb: { depth: 1 } });
    expect([first.aborted, second.asked]).toEqual([true, false]);
  });
});
