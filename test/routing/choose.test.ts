import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors.ts';
import type { Deployment } from '../../src/models/deployment.ts';
import { chooseCandidates, type Choice } from '../../src/routing/choose.ts';
import { openAiEmbeddings } from '../../src/wires/openai-embeddings/surface.ts';
import { parseBody } from '../../src/wires/parse-json.ts';
import type { InferenceRequest } from '../../src/wires/request.ts';
import { catalogueOf, type Servings } from '../support/catalogue-of.ts';
import { readChat } from '../support/chat-request.ts';
import { deployment, rateCard } from '../support/deployment.ts';
import { randomFrom } from '../support/random.ts';
import { routingView, type World } from '../support/routing-view.ts';

const provider = (id: string) => ({ ...deployment().provider, id });
type Described = Parameters<typeof deployment>[0];

/** A model whose output costs so many dollars a million tokens, its input a quarter of that. */
function make(model: string, tier: Deployment['tier'], dollars: number, at = 'alpha', more: Described = {}): Deployment {
  const output = BigInt(dollars * 1e6);
  return deployment({
    model,
    tier,
    rateCard: rateCard({ input: output / 4n, output, cacheRead: output / 40n }),
    provider: provider(at),
    ...more,
  });
}

const cheapA = make('cheap-a', 'cheap', 0.4);
const cheapB = make('cheap-b', 'cheap', 0.6, 'beta');
const midA = make('mid-a', 'mid', 4);
const midB = make('mid-b', 'mid', 5, 'beta', { imageTokens: null, maxOutputTokens: 100 });
const premium = make('premium', 'premium', 40, 'alpha', { remoteImages: true, allowParameters: ['no_such_field'] });
const all = [premium, midB, cheapB, midA, cheapA];

interface Setting extends World {
  listed?: Deployment[];
  servings?: Servings;
  allowedModels?: string[] | null;
}

const HI = [{ role: 'user', content: 'hi' }];

function read(fields: object): InferenceRequest {
  return readChat(JSON.stringify({ messages: HI, ...fields }), { allowParameters: new Set(['no_such_field']) });
}

function choiceFor(request: InferenceRequest, { listed = all, servings, allowedModels = null, ...world }: Setting = {}): Choice {
  return chooseCandidates(request, catalogueOf(listed, servings), { allowedModels }, routingView(world));
}

/** What is chosen, by its deployments' names. */
function choose(fields: object, setting?: Setting) {
  const { candidates, ...rest } = choiceFor(read(fields), setting);
  return { ...rest, models: candidates.map(({ deployment: { model } }) => model), ids: candidates.map(({ deployment: { id } }) => id) };
}

function refusalOf(act: () => unknown): { code: string; param: string | undefined; message: string } {
  try {
    act();
  } catch (error) {
    if (error instanceof GatewayError) return { code: error.code, param: error.detail.param, message: error.message };
    throw error;
  }
  throw new Error('it was accepted');
}

/** Chance that gives these numbers, one after the other. */
function chance(...numbers: number[]): () => number {
  const left = [...numbers];
  return () => {
    const next = left.shift();
    if (next === undefined) throw new Error('chance was asked more often than it should be');
    return next;
  };
}

const picture = (url: string) => [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }];
const LOCAL = picture('data:image/png;base64,AA');
const REMOTE = picture('https://example.com/a.png');
const URL_PARAM = 'messages.0.content.0.image_url.url';

describe('an exact model', () => {
  it('goes to its deployment alone, and nothing was decided', () => {
    expect(choose({ model: 'mid-a' })).toEqual({
      ...{ models: ['mid-a'], ids: ['alpha/mid-a'], tier: 'mid' },
      ...{ explored: false, exploreOdds: 0, decision: null },
    });
  });

  it.each<[string, object, Setting, string, string]>([
    ['an unknown one', { model: 'nope' }, {}, 'model_not_found', 'model'],
    ['one outside the key’s list', { model: 'mid-a' }, { allowedModels: ['cheap-a'] }, 'model_not_allowed', 'model'],
    ['one that takes no images', { model: 'mid-b', messages: LOCAL }, {}, 'invalid_request', URL_PARAM],
    ['one that takes no remote images', { model: 'mid-a', messages: REMOTE }, {}, 'invalid_request', URL_PARAM],
    ['a field that only others let through', { model: 'mid-a', no_such_field: 1 }, {}, 'unknown_parameter', 'no_such_field'],
    [
      'an excluded provider',
      { model: 'mid-a', routing: { excludeProviders: ['alpha'] } },
      {},
      'invalid_request',
      'routing.excludeProviders',
    ],
  ])('is refused: %s', (_what, fields, setting, code, param) => {
    expect(refusalOf(() => choose(fields, setting))).toMatchObject({ code, param });
  });

  it('is served where the key’s list and the deployment’s abilities allow', () => {
    expect(choose({ model: 'premium', no_such_field: 1, messages: REMOTE }, { allowedModels: ['premium'] }).models).toEqual(['premium']);
  });

  describe('with several deployments', () => {
    const [one, two, three, spare, last] = ['one', 'two', 'three', 'spare', 'last'].map((at) => make(`${at}/llama`, 'cheap', 1, at)) as [
      Deployment,
      ...Deployment[],
    ] as [Deployment, Deployment, Deployment, Deployment, Deployment];
    const servings: Servings = {
      llama: [
        { deployment: spare, type: 'backup', weight: 1 },
        { deployment: one, weight: 7 },
        { deployment: two, weight: 2 },
        { deployment: three, weight: 1 },
        { deployment: last, type: 'backup', weight: 3 },
      ],
    };
    const order = (setting: Setting, fields: object = {}) =>
      choose({ model: 'llama', ...fields }, { listed: [], servings, ...setting }).ids.map((id) => id.split('/')[0]);

    it.each<[string, () => number, string[]]>([
      ['the lowest number draws the first', chance(0, 0, 0), ['one', 'two', 'three', 'spare', 'last']],
      ['a share ends where its weight does', chance(0.69, 0, 0), ['one', 'two', 'three', 'spare', 'last']],
      ['the next begins there', chance(0.71, 0, 0.26), ['two', 'one', 'three', 'last', 'spare']],
      ['and the last has the rest', chance(0.95, 0.8, 0.24), ['three', 'two', 'one', 'spare', 'last']],
    ])('goes to primaries by their shares, then to backups by theirs: %s', (_what, random, wanted) => {
      expect(order({ random })).toEqual(wanted);
    });

    it('comes to the shares over many requests', () => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      const random = randomFrom(seed);
      const firsts = new Map<string | undefined, number>();
      for (let i = 0; i < 2_000; i++) {
        const [first] = order({ random });
        firsts.set(first, (firsts.get(first) ?? 0) + 1);
      }
      const shares = ['one', 'two', 'three', 'spare'].map((at) => (firsts.get(at) ?? 0) / 2_000);
      // Within five standard deviations.
      const isNear = (share: number, wanted: number) => Math.abs(share - wanted) <= 5 * Math.sqrt((wanted * (1 - wanted)) / 2_000);
      expect({ seed, near: shares.map((share, i) => isNear(share, [0.7, 0.2, 0.1, 0][i] ?? 0)) }).toEqual({
        seed,
        near: [true, true, true, true],
      });
    });

    it('stays where its prompt cache is warm, among the primaries', () => {
      expect(order({ warm: three.id, random: chance(0, 0) })).toEqual(['three', 'one', 'two', 'spare', 'last']);
      expect(order({ warm: last.id, random: chance(0, 0) })).toEqual(['one', 'two', 'three', 'last', 'spare']);
    });

    it('asks what is not available last among its own kind', () => {
      const health = ({ provider: { id } }: Deployment) => ({ available: id !== 'one' && id !== 'last' });
      expect(order({ health, random: chance(0) })).toEqual(['two', 'three', 'one', 'spare', 'last']);
      expect(order({ health, warm: one.id, random: chance(0) })).toEqual(['two', 'three', 'one', 'spare', 'last']);
    });

    it('leaves out what is excluded or cannot do it', () => {
      expect(order({ random: chance(0, 0) }, { routing: { excludeProviders: ['one', 'last'] } })).toEqual(['two', 'three', 'spare']);
      expect(refusalOf(() => order({}, { no_such_field: 1 }))).toMatchObject({ code: 'unknown_parameter' });
    });

    it('may be asked by a key that has its name on the list, or the name of what is behind it', () => {
      expect(order({ allowedModels: ['llama'], random: chance(0, 0, 0) })).toHaveLength(5);
      expect(order({ allowedModels: ['two/llama', 'last/llama'] })).toEqual(['two', 'last']);
      expect(refusalOf(() => order({ allowedModels: ['other'] }))).toMatchObject({ code: 'model_not_allowed', param: 'model' });
    });
  });
});

describe('who may serve under auto', () => {
  it.each<[string, object, Setting, string[]]>([
    ['not what is excluded', { routing: { excludeProviders: ['alpha'] } }, {}, ['cheap-b', 'mid-b']],
    ['not what the key may not have', {}, { allowedModels: ['mid-b', 'premium'] }, ['mid-b', 'premium']],
    ['not what cannot do it', { messages: REMOTE }, {}, ['premium']],
    ['not what takes no such field', { no_such_field: 3 }, {}, ['premium']],
    ['only what is named', { routing: { models: ['mid-a', 'premium'] } }, {}, ['mid-a', 'premium']],
    ['what is named by another name', { routing: { models: ['house'] } }, { servings: { house: [{ deployment: midA }] } }, ['mid-a']],
    [
      'by that name of the key’s list',
      { routing: { models: ['house', 'cheap-a'] } },
      { servings: { house: [{ deployment: midA }] }, allowedModels: ['house'] },
      ['mid-a'],
    ],
    ['what is named twice, once', { routing: { models: ['mid-a', 'mid-a'] } }, {}, ['mid-a']],
    ['not what was slow lately, where speed is asked for', { routing: { maxLatency: 500 } }, { health: slowAlpha }, ['cheap-b', 'mid-b']],
    ['what passes from outside', {}, { admits: ({ tier }) => tier === 'mid' }, ['mid-a', 'mid-b']],
    ['not what is too small', { messages: [{ role: 'user', content: 'word '.repeat(900) }] }, { listed: [small(cheapA), midA] }, ['mid-a']],
    [
      'the largest, where it may fit',
      { messages: [{ role: 'user', content: 'word '.repeat(1_000) }] },
      { listed: [small(cheapA), tiny(cheapB)] },
      ['cheap-a'],
    ],
  ])('is %s', (_what, fields, setting, models) => {
    expect(choose(fields, setting).models).toEqual(models);
  });

  it.each<[string, object, Setting, string, string]>([
    ['all providers are excluded', { routing: { excludeProviders: ['alpha', 'beta'] } }, {}, 'invalid_request', 'routing.excludeProviders'],
    ['the key may use none', {}, { allowedModels: ['gone'] }, 'model_not_allowed', 'model'],
    ['the key may use none of the named', { routing: { models: ['mid-a'] } }, { allowedModels: ['mid-b'] }, 'model_not_allowed', 'model'],
    ['a named one is unknown', { routing: { models: ['mid-a', 'nope'] } }, {}, 'model_not_found', 'routing.models'],
    ['no model takes the images', { messages: REMOTE }, { listed: [cheapA, midA] }, 'invalid_request', URL_PARAM],
    [
      'all were slow lately',
      { routing: { maxLatency: 500 } },
      { health: () => ({ ttftMs: 900 }) },
      'invalid_request',
      'routing.maxLatency',
    ],
    [
      'it fits nowhere',
      { messages: [{ role: 'user', content: 'word '.repeat(9_000) }] },
      { listed: [small(cheapA)] },
      'invalid_request',
      'messages',
    ],
  ])('is nobody where %s', (_what, fields, setting, code, param) => {
    expect(refusalOf(() => choose(fields, setting))).toMatchObject({ code, param });
  });

  it('is the same whatever the cap: each takes one above its maximum as that', () => {
    for (const max_tokens of [100, 101, 20_000_000]) {
      expect(choose({ max_tokens, routing: { quality: 'high' } }).models).toEqual(['mid-a', 'mid-b', 'cheap-a']);
      expect(choose({ model: 'mid-b', max_completion_tokens: max_tokens }).models).toEqual(['mid-b']);
    }
  });

  it('is one model for vectors, and what else serves that', () => {
    const vectors = (at: string) => make(`${at}/vectors`, 'cheap', 1, at, { operation: 'embed', wires: ['openai-embeddings'] });
    const [here, there, other] = [vectors('here'), vectors('there'), vectors('other')];
    const request = openAiEmbeddings.parse(parseBody(Buffer.from('{"input":"a","model":"auto"}')), { streamDefault: false });
    const ids = (setting: Setting) =>
      choiceFor(request, { listed: [here, there, other], random: chance(0, 0), ...setting }).candidates.map((one) => one.deployment.id);
    expect(ids({})).toEqual(['here/here/vectors']);
    expect(ids({ servings: { 'here/vectors': [{ deployment: here }, { deployment: there }] } })).toEqual([
      'here/here/vectors',
      'there/there/vectors',
    ]);
  });
});

function slowAlpha({ provider: { id } }: Deployment) {
  return id === 'alpha' ? { ttftMs: 900 } : {};
}
function small(one: Deployment): Deployment {
  return { ...one, contextWindow: 1_000 };
}
function tiny(one: Deployment): Deployment {
  return { ...one, contextWindow: 10 };
}

describe('the order under auto', () => {
  const of =
    (names: string, how: object) =>
    ({ provider: { id } }: Deployment) =>
      names.split(' ').includes(id) ? how : {};
  const known = (how: object) => ({ samples: 200, ttftMs: 1_000, tokensPerSecond: 50, ...how });

  it.each<[string, object, Setting, string[]]>([
    ['the tier’s own, cheapest first', {}, {}, ['cheap-a', 'cheap-b']],
    ['auto is the same as no model', { model: 'auto' }, {}, ['cheap-a', 'cheap-b']],
    ['then cheaper tiers, three in all', { routing: { quality: 'high' } }, {}, ['mid-a', 'mid-b', 'cheap-a']],
    ['a dearer tier only where there is nothing else', {}, { listed: [premium, midA, cheapA] }, ['cheap-a', 'mid-a']],
    ['elsewhere where the tier is empty', {}, { listed: [premium] }, ['premium']],
    ['the preferred provider’s of the tier', { routing: { prefer: 'beta' } }, {}, ['cheap-b', 'cheap-a']],
    ['nobody’s where the preferred is unknown', { routing: { prefer: 'nobody' } }, {}, ['cheap-a', 'cheap-b']],
    ['not the preferred one’s of another tier', { routing: { prefer: 'beta' } }, { listed: [cheapA, midB] }, ['cheap-a', 'mid-b']],
    [
      'the preferred also where the other is somewhat better',
      { routing: { prefer: 'beta' } },
      { health: of('beta', known({ successRate: 0.95, ttftMs: 2_000 })) },
      ['cheap-b', 'cheap-a'],
    ],
    [
      'not the preferred where it fails',
      { routing: { prefer: 'beta' } },
      { health: of('beta', known({ successRate: 0.7 })) },
      ['cheap-a', 'cheap-b'],
    ],
    ['what answers before what fails', {}, { health: of('alpha', known({ successRate: 0.8 })) }, ['cheap-b', 'cheap-a']],
    ['not for one failure', {}, { health: of('alpha', { successRate: 0.98, samples: 50, ttftMs: 1_000 }) }, ['cheap-a', 'cheap-b']],
    ['what is fast before what is slow', {}, { health: of('alpha', known({ ttftMs: 8_000 })) }, ['cheap-b', 'cheap-a']],
    ['what is fast in its words', {}, { health: of('alpha', known({ tokensPerSecond: 5 })) }, ['cheap-b', 'cheap-a']],
    ['what wrote next to nothing in all its time last', {}, { health: of('alpha', known({ tokensPerSecond: 0 })) }, ['cheap-b', 'cheap-a']],
    ['what is not available last', {}, { health: of('alpha', { available: false }) }, ['cheap-b', 'mid-b', 'cheap-a']],
    [
      'another tier before what is not available',
      {},
      { listed: [cheapA, midB], health: of('alpha', { available: false }) },
      ['mid-b', 'cheap-a'],
    ],
    ['what has the prompt cached, though dearer', {}, { warm: 'beta/cheap-b' }, ['cheap-b', 'cheap-a']],
    ['also where it is of a higher tier', {}, { warm: 'beta/mid-b' }, ['mid-b', 'cheap-a', 'cheap-b']],
    ['but not where a low quality is asked for', { routing: { quality: 'low' } }, { warm: 'beta/mid-b' }, ['cheap-a', 'cheap-b']],
    ['nor where a higher tier is needed', { routing: { quality: 'high' } }, { warm: 'beta/cheap-b' }, ['mid-a', 'mid-b', 'cheap-a']],
    [
      'nor where that is not available',
      {},
      { warm: 'beta/cheap-b', health: of('beta', { available: false }) },
      ['cheap-a', 'mid-a', 'cheap-b'],
    ],
    ['nor where that fails', {}, { warm: 'beta/cheap-b', health: of('beta', known({ successRate: 0.5 })) }, ['cheap-a', 'cheap-b']],
    ['the best where the cost is ignored', { routing: { cost_weight: 0 } }, {}, ['premium', 'mid-b', 'mid-a']],
    ['the cheapest where the quality is', { routing: { cost_weight: 1, quality: 'high' } }, {}, ['cheap-a', 'cheap-b']],
  ])('is %s', (_what, fields, setting, models) => {
    expect(choose(fields, setting).models).toEqual(models);
  });

  it('has the first fallback at another provider, where there is one that is available', () => {
    const second = make('cheap-second', 'cheap', 0.45);
    const third = make('cheap-third', 'cheap', 0.5);
    const listed = [cheapA, second, third, cheapB];
    expect(choose({}, { listed }).models).toEqual(['cheap-a', 'cheap-b', 'cheap-second']);
    expect(choose({}, { listed, health: of('beta', { available: false }) }).models).toEqual(['cheap-a', 'cheap-second', 'cheap-third']);
  });

  it('has a dearer fallback where those of its tier and below are not available', () => {
    const down = { health: of('beta', { available: false }) };
    expect(choose({}, { listed: [premium, midA, cheapA, cheapB], ...down }).models).toEqual(['cheap-a', 'mid-a', 'cheap-b']);
    expect(choose({}, { listed: [cheapA, cheapB], ...down }).models).toEqual(['cheap-a', 'cheap-b']);
  });

  it.each<[string, object, Setting]>([
    ['is the cheapest of 2 available models of the cheap tier', {}, {}],
    ['is the preferred provider’s among 2 available models of the cheap tier', { routing: { prefer: 'beta' } }, {}],
    [
      'is the one available model of the mid tier, as no model of the cheap tier is available now',
      {},
      { health: of('alpha', { available: false }), listed: [cheapA, midB] },
    ],
    ['is the one available model of the mid tier, as there is no model of the cheap tier to choose from', {}, { listed: [midA, premium] }],
    [
      'is the cheapest of 2 available models of the cheap tier, with which its cascade begins',
      { routing: { cascade: true, quality: 'high' } },
      { admits: ({ tier }) => tier === 'cheap' },
    ],
    ['has the conversation in its prompt cache', {}, { warm: 'beta/cheap-b' }],
    [
      'has the lowest score of 3 available models at a cost weight of 1',
      { routing: { cost_weight: 1 } },
      { health: of('beta', { available: false }) },
    ],
    ['is the best of those that may answer it, none of which is available now', {}, { health: () => ({ available: false }) }],
  ])('says that the chosen model %s', (words, fields, setting) => {
    const { decision, models } = choose(fields, setting);
    expect(decision?.reasoning.split('; ').at(-1)).toBe(`${models[0]} ${words.replace('’', "'")}.`);
  });

  it('ties by capacity: the draw is in proportion, and both are told the same score', () => {
    const [left, right] = [make('left', 'cheap', 0.4, 'left'), make('right', 'cheap', 0.4, 'right')];
    const firstOf = (at: number, capacity: Setting['capacity']) =>
      choose({}, { listed: [left, right], ...(capacity && { capacity }), random: chance(at, 0.999) });
    const quarter = (id: string) => (id === 'left' ? 0.25 : 0.75);
    expect(firstOf(0.24, quarter).models).toEqual(['left', 'right']);
    const drawn = firstOf(0.26, quarter);
    expect(drawn.models).toEqual(['right', 'left']);
    expect(new Set(Object.values(drawn.decision?.allScores ?? {})).size).toBe(1);
    expect(firstOf(0.49, () => 1).models).toEqual(['left', 'right']);
    expect(choose({}, { listed: [left, right], capacity: (id) => (id === 'right' ? 1 : 0), random: chance(0.999) }).models).toEqual([
      'right',
      'left',
    ]);
  });

  it('is no tie where one is clearly cheaper', () => {
    expect(choose({}, { capacity: (id) => (id === 'beta' ? 1 : 0.001) }).models).toEqual(['cheap-a', 'cheap-b']);
  });
});
