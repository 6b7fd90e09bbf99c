import { expect, it, jest } from '@jest/globals';
import { plan, type PlanDeps } from '../../src/completions/plan.ts';
import type { Serving } from '../../src/models/models.ts';
import { readChat } from '../support/chat-request.ts';
import { deployment } from '../support/deployment.ts';

const one: Serving = { deployment: deployment({ id: 'a/1' }), type: 'primary', weight: 1 };
const other: Serving = { deployment: deployment({ id: 'b/1' }), type: 'primary', weight: 1 };
const chatRequest = readChat('{"model":"m","messages":[{"role":"user","content":"hi"}]}');

it.each([
  ['is not read for a model that one deployment serves', [one], 0],
  ['is read once for a model that several serve', [one, other], 1],
])('what a conversation is known by %s', async (_what, serving, times) => {
  const facts = jest.fn(chatRequest.facts);
  const warmFor = jest.fn<NonNullable<PlanDeps['warm']>['warmFor']>((_account, request) => (request.facts().cacheKey, 'b/1'));
  const deps = {
    models: { keepUp: () => undefined, serving: () => serving },
    health: { healthOf: () => ({ available: true }), snapshot: () => ({ windows: { '5m': {} } }) },
    warm: { warmFor },
    config: { DEFAULT_MAX_TOKENS: 100, markupBasisPoints: 0n, BYOK_FEE_MSAT: 0n },
  } as unknown as PlanDeps;
  const options = { maxCostPicoUsd: null, callerKey: null };
  const { candidates } = await plan(deps, { ...chatRequest, facts }, options, { allowedModels: null, accountId: 'alice' });
  expect([facts.mock.calls.length, warmFor.mock.calls.length]).toEqual([times, times]);
  expect(candidates.map(({ deployment: { id } }) => id)).toEqual(times === 0 ? ['a/1'] : ['b/1', 'a/1']);
});
