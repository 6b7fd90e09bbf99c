import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors.ts';
import type { Deployment } from '../../src/models/deployment.ts';
import type { ModelIndex } from '../../src/models/models.ts';
import { chooseSteps, refuseCascade } from '../../src/routing/cascade-steps.ts';
import { chooseCandidates } from '../../src/routing/choose.ts';
import { readChat } from '../support/chat-request.ts';
import { deployment, rateCard } from '../support/deployment.ts';
import { NO_MODELS } from '../support/models.ts';
import { routingView } from '../support/routing-view.ts';

const make = (model: string, tier: Deployment['tier'], output: bigint) => {
  const provider = { ...deployment().provider, id: `of ${model}` };
  return deployment({ model, tier, rateCard: rateCard({ output }), provider });
};
const CHEAP = ['cheap-1', 'cheap-2', 'cheap-3'].map((model, index) => make(model, 'cheap', BigInt(index + 1)));
const MID = [make('mid-1', 'mid', 10n)];
const PREMIUM = ['premium-1', 'premium-2'].map((model, index) => make(model, 'premium', BigInt(index + 100)));

const indexOf = (listed: readonly Deployment[]): ModelIndex => ({
  ...NO_MODELS,
  list: () => listed,
  find: (model) => listed.find((one) => one.model === model),
});

function stepsOf(listed: readonly Deployment[], { maxDepth = 3, routing = {} }: { maxDepth?: number; routing?: object } = {}) {
  const request = readChat(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], routing: { cascade: true, ...routing } }));
  const view = routingView();
  return chooseSteps({ maxDepth }, (admits) =>
    chooseCandidates(request, indexOf(listed), { allowedModels: null }, admits ? { ...view, admits } : view),
  );
}
const tiersOf = ({ steps }: ReturnType<typeof stepsOf>) => steps.map((step) => [...new Set(step.map((one) => one.deployment.tier))]);

describe('the steps of a cascade', () => {
  it.each<[string, readonly Deployment[], { maxDepth?: number }, string[][]]>([
    ['go from the cheapest tier to the dearest', [...PREMIUM, ...MID, ...CHEAP], {}, [['cheap'], ['mid'], ['premium']]],
    ['pass over a tier that nobody has', [...PREMIUM, ...CHEAP], {}, [['cheap'], ['premium']]],
    ['are one where there is one tier', MID, {}, [['mid']]],
    ['are no more than may be', [...PREMIUM, ...MID, ...CHEAP], { maxDepth: 2 }, [['cheap'], ['mid']]],
    ['may be one', [...PREMIUM, ...MID, ...CHEAP], { maxDepth: 1 }, [['cheap']]],
  ])('%s', (_what, listed, options, tiers) => {
    expect(tiersOf(stepsOf(listed, options))).toEqual(tiers);
  });

  it('have one stand-in at most, and together are all candidates', () => {
    const { steps, candidates } = stepsOf([...PREMIUM, ...MID, ...CHEAP]);
    expect(steps.map((step) => step.length)).toEqual([2, 1, 2]);
    expect(candidates).toEqual(steps.flat());
  });

  it('leave out what the request excludes', () => {
    const excludeProviders = [...MID, ...PREMIUM].map(({ provider }) => provider.id);
    expect(tiersOf(stepsOf([...PREMIUM, ...MID, ...CHEAP], { routing: { excludeProviders } }))).toEqual([['cheap']]);
  });

  it('are none where no model may serve: the choice among all says why', () => {
    const excludeProviders = CHEAP.map(({ provider }) => provider.id);
    expect(() => stepsOf(CHEAP, { routing: { excludeProviders } })).toThrow(GatewayError);
  });

  it('are not what an exact model, vectors or a caller’s own key have', () => {
    const read = (members: object) => readChat(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], ...members }));
    const cascade = { routing: { cascade: true } };
    expect(() => refuseCascade(read({ model: 'mid-1', ...cascade }), false)).toThrow(/routing\.cascade/);
    expect(() => refuseCascade({ ...read(cascade), operation: 'embed' }, false)).toThrow(/routing\.cascade/);
    expect(() => refuseCascade(read(cascade), true)).toThrow(/routing\.cascade/);
    expect(() => refuseCascade(read(cascade), false)).not.toThrow();
    expect(() => refuseCascade(read({ model: 'mid-1' }), true)).not.toThrow();
  });
});
