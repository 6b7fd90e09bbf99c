import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Deployment } from '../../src/models/deployment.ts';
import { chooseCandidates } from '../../src/routing/choose.ts';
import { catalogueOf } from '../support/catalogue-of.ts';
import { readChat } from '../support/chat-request.ts';
import { deployment as deploymentOf, rateCard } from '../support/deployment.ts';
import { randomFrom } from '../support/random.ts';
import { routingView, type World } from '../support/routing-view.ts';

function make(id: string, tier: Deployment['tier'], dollars: number, more: Partial<Deployment> = {}): Deployment {
  const output = BigInt(dollars * 1e6);
  const provider = { ...deploymentOf().provider, id };
  return deploymentOf({ model: id, tier, provider, rateCard: rateCard({ input: output / 4n, output }), ...more });
}

const best = make('one', 'cheap', 0.4);
const two = make('two', 'cheap', 0.5);
const three = make('three', 'cheap', 0.6);
const dear = make('dear', 'cheap', 0.7);
const middle = make('middle', 'mid', 0.3);
const all = [best, two, three, dear, middle];

function choose(fields: object, { listed = all, ...world }: World & { listed?: Deployment[] } = {}) {
  const request = readChat(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], ...fields }));
  const { candidates, ...rest } = chooseCandidates(request, catalogueOf(listed), { allowedModels: null }, routingView(world));
  return { ...rest, models: candidates.map((candidate) => candidate.deployment.model) };
}

/** First whether to explore, then whom. */
function chance(...numbers: number[]): () => number {
  const left = [...numbers];
  return () => left.shift() ?? 0.999_999;
}

const samples =
  (counts: Record<string, number>) =>
  ({ model }: Deployment) => ({ samples: counts[model] ?? 0, successRate: 0.99 });

describe('exploration', () => {
  it('tries another one in front of the best, within the odds that are told', () => {
    expect(choose({}, { random: chance(0.039, 0.4) })).toMatchObject({
      models: ['two', 'one', 'three'],
      explored: true,
      exploreOdds: 0.04,
    });
    expect(choose({}, { random: chance(0.041) })).toMatchObject({ models: ['one', 'two', 'three'], explored: false, exploreOdds: 0.04 });
  });

  it('says so, and tells the scores as they are', () => {
    const { decision } = choose({}, { random: chance(0, 0.9) });
    expect(decision?.reasoning).toMatch(/; three is tried to learn how it does, in place of one\.$/);
    expect(decision?.costAdjustedScore).toBe(decision?.allScores['three']);
    expect(decision?.costAdjustedScore).toBeGreaterThan(decision?.allScores['one'] ?? NaN);
  });

  it('grows rarer the more is known of the least known, and turns to that one', () => {
    const known = samples({ one: 500, two: 24, three: 99 });
    expect(choose({}, { health: known }).exploreOdds).toBeCloseTo(0.04 / 5);
    // Two's share of doubt is 1/25, three's 1/100: four fifths are two's.
    expect(choose({}, { health: known, random: chance(0, 0.79) }).models[0]).toBe('two');
    expect(choose({}, { health: known, random: chance(0, 0.81) }).models[0]).toBe('three');
    // What is known of the best one does not matter.
    expect(choose({}, { health: samples({ one: 0, two: 99, three: 99 }), listed: [best, two] }).exploreOdds).toBeCloseTo(0.004);
  });

  it.each<[string, object, World & { listed?: Deployment[] }]>([
    ['another tier', {}, { listed: [best, middle] }],
    ['what is not available', {}, { health: ({ model }) => ({ available: model === 'one' }) }],
    ['anybody under high quality', { routing: { quality: 'high' } }, { listed: [middle, make('other', 'mid', 0.4)] }],
    ['anybody under a cost weight', { routing: { cost_weight: 0.5 } }, {}],
    ['anybody in a cascade', { routing: { cascade: true } }, {}],
    ['anybody beside a warm prompt cache', {}, { warm: 'one/one' }],
    ['anybody where nothing is sent', {}, { explores: false }],
    ['anybody under an exact model', { model: 'one' }, {}],
  ])('never tries %s', (_what, fields, setting) => {
    expect(choose(fields, { random: () => 0, ...setting })).toMatchObject({ explored: false, exploreOdds: 0 });
  });

  it('never tries what is dearer than the dearest candidate', () => {
    const seen = new Set(Array.from({ length: 50 }, (_, i) => choose({}, { random: chance(0, i / 50) }).models[0]));
    expect(seen).toEqual(new Set(['three', 'two']));
  });

  it('comes to its odds over many requests', () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = randomFrom(seed);
    const requests = 5_000;
    const explored = Array.from({ length: requests }, () => choose({}, { random })).filter((choice) => choice.explored).length;
    // Within five standard deviations.
    const isNear = Math.abs(explored - 0.04 * requests) <= 5 * Math.sqrt(requests * 0.04 * 0.96);
    expect({ seed, explored, isNear }).toEqual({ seed, explored, isNear: true });
  });
});

describe('every choice', () => {
  const health = fc.record({
    successRate: fc.double({ min: 0, max: 1, noNaN: true }),
    ttftMs: fc.option(fc.double({ min: 1, max: 60_000, noNaN: true })),
    tokensPerSecond: fc.option(fc.double({ min: 1, max: 500, noNaN: true })),
    samples: fc.double({ min: 0, max: 1e6, noNaN: true }),
    available: fc.boolean(),
  });
  const model = fc.record({
    tier: fc.constantFrom('cheap', 'mid', 'premium'),
    provider: fc.constantFrom('alpha', 'beta', 'gamma'),
    dollars: fc.constantFrom(0, 0.05, 0.5, 0.52, 5, 75),
    capacity: fc.constantFrom(0, 0.3, 1),
    health,
  });
  const routing = fc.record(
    {
      quality: fc.constantFrom('high', 'low'),
      prefer: fc.constantFrom('alpha', 'beta'),
      cost_weight: fc.double({ min: 0, max: 1, noNaN: true }),
      excludeProviders: fc.constant(['gamma']),
    },
    { requiredKeys: [] },
  );
  const setting = fc.record({
    models: fc.array(model, { minLength: 1, maxLength: 12 }),
    routing,
    warm: fc.option(fc.nat(11)),
    seed: fc.integer(),
    text: fc.string({ maxLength: 200 }),
  });

  it('is the same for the same arguments and chance; has the lowest score unless it explored; keeps its rules', () => {
    fc.assert(
      fc.property(setting, ({ models, routing: options, warm, seed, text }) => {
        const listed = [
          ...models.map(({ tier, provider, dollars }, i) => ({
            ...make(provider, tier, dollars),
            id: `d${i}`,
            model: `m${i}`,
          })),
          { ...make('always', 'mid', 1), id: 'd99', model: 'm99' },
        ];
        const of = ({ id }: Deployment) => models[Number(id.slice(1))];
        const fields = { routing: options, messages: [{ role: 'user', content: text }] };
        const once = () =>
          choose(fields, {
            listed,
            random: randomFrom(seed),
            health: (deployment) => of(deployment)?.health ?? {},
            capacity: (id) => models.find(({ provider }) => provider === id)?.capacity ?? 1,
            warm: warm === null ? null : `d${warm}`,
          });
        const choice = once();
        expect(once()).toEqual(choice);

        const { decision, explored, exploreOdds, models: chosen } = choice;
        if (!decision) throw new Error('nothing was decided');
        const [first = ''] = chosen;
        const lowest = Math.min(...Object.values(decision.allScores));
        const byName = (name: string) => listed.find((one) => one.model === name) ?? best;
        expect(decision.allScores[first]).toBe(decision.costAdjustedScore);
        expect(explored ? exploreOdds > 0 : decision.costAdjustedScore === lowest).toBe(true);
        expect(chosen.length).toBeLessThanOrEqual(3);
        expect(new Set(chosen).size).toBe(chosen.length);
        expect(decision.expectedError).toBeGreaterThanOrEqual(0);
        expect(decision.expectedError).toBeLessThanOrEqual(1);
        // Whoever is not available comes first only where nobody is.
        const eligible = listed.filter(({ provider: { id } }) => !options.excludeProviders?.some((excluded) => excluded === id));
        const isAvailable = (deployment: Deployment) => of(deployment)?.health.available ?? true;
        expect(isAvailable(byName(first))).toBe(eligible.some(isAvailable));
        // Sentences are sentences.
        expect(decision.reasoning).toMatch(/^\S.*; m\d+ .*[^.]\.$/);
        // Without a cost weight, a tier is left only where nobody of it is there, or a warm cache keeps the conversation.
        const tierIsThere = eligible.some((deployment) => deployment.tier === choice.tier && isAvailable(deployment));
        const isBound = options.cost_weight === undefined && warm === null && tierIsThere;
        expect(isBound ? byName(first).tier : choice.tier).toBe(choice.tier);
      }),
      { numRuns: 300 },
    );
  });
});
