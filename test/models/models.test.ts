import { afterEach, describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../src/config/config-error.ts';
import type { ModelsConfig } from '../../src/config/model-config.ts';
import { API_KEY_VARIABLES, type ApiKeyVariable } from '../../src/config/public-providers.ts';
import { publicProviderOf } from '../../src/providers/known-providers.ts';
import { compilePrices } from '../../src/pricing/catalogue.ts';
import { createDemo } from '../../src/providers/demo.ts';
import { createModels, type Models } from '../../src/models/models.ts';
import { startFakeProvider } from '../support/fake-provider.ts';

const AT = new Date('2026-09-01T00:00:00Z');
const upstream = await startFakeProvider();
await upstream.close();
const bare = {
  OPENAI_API_KEY: undefined,
  OPENAI_BASE_URL: upstream.baseUrl,
  DEMO_PROVIDER: false,
  UPSTREAM_TIMEOUT_SECONDS: 1,
  deployments: [],
  prices: {},
};

const made: Models[] = [];
function make(
  config: Partial<Omit<typeof bare, 'deployments' | 'OPENAI_API_KEY'>> & {
    [name in ApiKeyVariable]?: string;
  } & {
    aliases?: Record<string, string>;
    models?: ModelsConfig;
    deployments?: ReturnType<typeof upstream.deployment>[];
  },
  providers = [createDemo()],
): Models {
  const whole = { ...bare, ...config };
  const models = createModels(whole, {
    prices: { current: { prices: compilePrices(whole, AT), priceVersion: 7 }, keepUp: () => undefined },
    providers,
  });
  made.push(models);
  return models;
}

const ids = (models: Models) => models.list().map(({ model }) => model);

afterEach(async () => {
  await Promise.all(made.splice(0).map((models) => models.close()));
});

describe('the models', () => {
  it('are the demo’s, one a tier, where nothing is configured', () => {
    const models = make({});
    expect(ids(models)).toEqual(['demo-cheap', 'demo-mid', 'demo-premium']);
    expect(models.list().map(({ tier }) => tier)).toEqual(['cheap', 'mid', 'premium']);
    expect(models.find('demo-mid')).toMatchObject({
      provider: { id: 'demo', demo: true },
      rateCard: { priceVersion: 7, input: 1_000_000n, output: 4_000_000n },
    });
    expect(models.find('gpt-4o')).toBeUndefined();
    expect(models.find('demo-embedding', 'embed')).toMatchObject({ provider: { id: 'demo' }, wires: ['openai-embeddings'] });
    expect(models.find('demo-embedding')).toBeUndefined();
  });

  it('have no demo among them once there is a real provider, unless asked for', () => {
    expect(ids(make({ OPENAI_API_KEY: 'sk-x' })).filter((id) => id.startsWith('demo'))).toEqual([]);
    expect(ids(make({ OPENAI_API_KEY: 'sk-x', DEMO_PROVIDER: true }))).toContain('demo-mid');
    expect(ids(make({ deployments: [upstream.deployment()] }))).toEqual(['pureai/fake']);
  });

  it('with an OpenAI key are those of its chat models that have a price, some of every tier', () => {
    const listed = make({ OPENAI_API_KEY: 'sk-x' }).list();
    expect(listed.length).toBeGreaterThan(15);
    expect(new Set(listed.map(({ tier }) => tier)).size).toBe(3);
    for (const { provider, rateCard, target, maxOutputTokens } of listed) {
      expect(provider.id).toBe('openai');
      expect(rateCard.input).toBeGreaterThan(0n);
      expect(rateCard.output).toBeGreaterThan(0n);
      expect(target.dialect.capField).toBe('max_completion_tokens');
      expect(maxOutputTokens).toBeGreaterThanOrEqual(4_096);
    }
  });

  it('are found beyond the list where the id is an OpenAI chat model’s and its price is known', () => {
    const models = make({ OPENAI_API_KEY: 'sk-x' });
    const dated = models.find('gpt-4o-2024-05-13');
    expect(dated).toMatchObject({
      model: 'gpt-4o-2024-05-13',
      target: { model: 'gpt-4o-2024-05-13', takesDocuments: true },
      rateCard: { input: 5_000_000n },
      maxOutputTokens: 4_096,
    });
    expect(models.find('gpt-4o-2024-05-13')).toBe(dated);
    expect(ids(models)).not.toContain('gpt-4o-2024-05-13');
  });

  it.each([
    ['no such model', 'gpt-99'],
    ['priced by more than tokens', 'gpt-4o-audio-preview'],
    ['a search on every call', 'gpt-4o-mini-search-preview'],
    ['a model that embeds', 'text-embedding-3-small'],
    ['an operator’s own fine-tune', 'ft:gpt-4o-2024-08-06:acme::x'],
    ['another spelling', 'GPT-4o'],
    ['another provider', 'claude-sonnet-4-5'],
    ['a path', '../gpt-4o'],
    ['a member of every object', 'constructor'],
    ['nothing', ''],
  ])('are not found: %s', (_what, model) => {
    expect(make({ OPENAI_API_KEY: 'sk-x' }).find(model)).toBeUndefined();
  });

  it('take the operator’s price where he sets one', () => {
    const models = make({ OPENAI_API_KEY: 'sk-x', prices: { 'gpt-4o': { input: 3, output: 4 }, 'gpt-99': { input: 1, output: 1 } } });
    expect(models.find('gpt-4o')?.rateCard.input).toBe(3_000_000n);
    expect(models.find('gpt-4o-2024-08-06')?.rateCard.input).toBe(3_000_000n);
    expect(models.find('gpt-99')?.rateCard.input).toBe(1_000_000n);
  });

  it('of the operator’s own servers are as he describes them', () => {
    const entry = upstream.deployment({
      id: 'gemma',
      model: 'google/gemma-3',
      tier: 'premium',
      maxOutputTokens: 777,
      imageTokens: 99,
      allowParameters: ['top_k'],
    });
    const models = make({ deployments: [entry] });
    expect(models.find('pureai/gemma')).toMatchObject({
      provider: { id: 'gemma', demo: false, passesHeaders: false },
      tier: 'premium',
      maxOutputTokens: 777,
      imageTokens: 99,
      tokenizer: 'bytes',
      target: { model: 'google/gemma-3', takesRemoteMedia: false, allowParameters: ['top_k'] },
    });
    expect(models.find('gemma')).toBeUndefined();
    expect(models.allowParameters).toEqual(new Set(['top_k']));
  });

  it.each([
    ['two of one name', ['a', 'a']],
    ['one with a public provider’s name', ['openai']],
    ['one with the demo’s', ['demo']],
  ])('refuse to start with %s', (_what, names) => {
    expect(() => make({ deployments: names.map((id) => upstream.deployment({ id })) })).toThrow(ConfigError);
  });
});

describe('the models of public providers', () => {
  const keys = Object.fromEntries(API_KEY_VARIABLES.map((name) => [name, 'sk-x']));
  const all = make(keys);

  it.each([
    ['claude-sonnet-4-5', 'anthropic', ['anthropic-messages'], 'max_tokens'],
    ['claude-haiku-5-5', 'anthropic', ['anthropic-messages'], 'max_tokens'],
    ['gemini-2.5-flash', 'gemini', ['gemini-generate'], 'max_tokens'],
    ['llama-3.3-70b-versatile', 'groq', ['openai-chat'], 'max_completion_tokens'],
    ['openai/gpt-oss-120b', 'groq', ['openai-chat'], 'max_completion_tokens'],
    ['deepseek-v4-pro', 'deepseek', ['openai-chat'], 'max_tokens'],
    ['kimi-k3', 'moonshot', ['openai-chat'], 'max_completion_tokens'],
    ['gpt-6-sol', 'openai', ['openai-chat', 'openai-responses'], 'max_completion_tokens'],
    ['gpt-5-pro', 'openai', ['openai-responses'], 'max_completion_tokens'],
    ['gpt-3.5-turbo-instruct', 'openai', ['openai-completions'], 'max_tokens'],
  ])('%s is at %s, in its wires', (model, id, wires, capField) => {
    expect(all.find(model)).toMatchObject({
      model,
      provider: { id },
      operation: 'generate',
      wires,
      target: { providerId: id, model, dialect: { capField } },
    });
    expect(all.find(model, 'embed')).toBeUndefined();
  });

  it.each([
    ['text-embedding-3-small', 'openai', 'openai-embeddings'],
    ['gemini-embedding-001', 'gemini', 'gemini-embed'],
  ])('%s embeds, and answers nobody', (model, id, wire) => {
    expect(all.find(model, 'embed')).toMatchObject({ provider: { id }, operation: 'embed', wires: [wire], maxOutputTokens: 0 });
    expect(all.find(model)).toBeUndefined();
    expect(ids(all)).not.toContain(model);
  });

  it('are only those whose price is known, and each provider lists some', () => {
    for (const deployment of [...all.list(), ...all.list('embed')]) expect(deployment.rateCard.input).toBeGreaterThan(0n);
    expect(new Set(all.list().map(({ provider }) => provider.id)).size).toBe(API_KEY_VARIABLES.length);
    expect(all.find('claude-no-such-model-9')).toBeUndefined();
  });

  it('have names that lead to their own provider alone', () => {
    for (const { model, provider } of [...all.list(), ...all.list('embed')]) expect(publicProviderOf(model)).toBe(provider.id);
  });

  it('are there for a caller’s own key where the operator has none, and are not on offer otherwise', () => {
    const models = make({});
    expect(models.find('claude-sonnet-4-5')).toBeUndefined();
    expect(models.withOwnKey.find('claude-sonnet-4-5')?.provider.id).toBe('anthropic');
    expect(models.withOwnKey.find('demo-mid')).toBeUndefined();
    const own = make({ deployments: [upstream.deployment()] });
    expect(own.withOwnKey.find('pureai/fake')).toBeUndefined();
    expect(own.providers.map(({ id }) => id)).toEqual(['fake']);
  });

  it('answer to the operator’s aliases, which must stand for something', () => {
    const models = make({ ANTHROPIC_API_KEY: 'sk-x', aliases: { 'claude-3-5-sonnet': 'claude-sonnet-4-5' } });
    expect(models.find('claude-3-5-sonnet')?.model).toBe('claude-sonnet-4-5');
    expect(() => make({ aliases: { mine: 'claude-sonnet-4-5' } })).toThrow(ConfigError);
  });
});

describe('models that several deployments serve', () => {
  const use = (name: string, more: { weight?: number; backup?: boolean } = {}) => ({ use: name, weight: 1, backup: false, ...more });
  const KEYS = { OPENAI_API_KEY: 'sk-x', GROQ_API_KEY: 'gsk-x' };
  const served = (models: Models, id: string, operation?: 'embed') =>
    models.serving(id, operation).map(({ deployment, type, weight }) => `${deployment.id} ${type} ${weight}`);

  it('have primary ones first, under the asked id and its alias, and leave the catalogue’s model to those who name it', () => {
    const models = make({
      ...KEYS,
      deployments: [upstream.deployment()],
      aliases: { mini: 'gpt-4o-mini' },
      models: {
        'gpt-4o-mini': {
          deployments: [
            use('llama-3.3-70b-versatile', { backup: true }),
            use('gpt-4o-mini', { weight: 3 }),
            use('pureai/fake'),
            use('openai/gpt-4o-mini-2024-07-18', { weight: 0.5 }),
            use('groq/openai/gpt-oss-120b', { backup: true }),
          ],
        },
      },
    });
    const all = [
      'openai/gpt-4o-mini primary 3',
      'pureai/fake primary 1',
      'openai/gpt-4o-mini-2024-07-18 primary 0.5',
      'groq/llama-3.3-70b-versatile backup 1',
      'groq/openai/gpt-oss-120b backup 1',
    ];
    expect(served(models, 'gpt-4o-mini')).toEqual(all);
    expect(served(models, 'mini')).toEqual(all);
    expect(models.find('mini')?.id).toBe('openai/gpt-4o-mini');
    expect(models.names()).toEqual(['mini', 'gpt-4o-mini']);
    // Health and limits go by a deployment: there is one of each.
    expect(models.list()).toContain(models.serving('gpt-4o-mini')[0]?.deployment);
    expect(served(models, 'gpt-4o')).toEqual(['openai/gpt-4o primary 1']);
    expect(served(models, 'gpt-99')).toEqual([]);
    // A caller's key is for one provider.
    expect(models.withOwnKey.serving('gpt-4o-mini').map(({ deployment }) => deployment.id)).toEqual(['openai/gpt-4o-mini']);
  });

  it('may have a name of the operator’s own, which is on no list', () => {
    const models = make({ ...KEYS, models: { fast: { deployments: [use('gpt-4o-mini')] } } });
    expect(served(models, 'fast')).toEqual(['openai/gpt-4o-mini primary 1']);
    expect(ids(models)).not.toContain('fast');
    expect(ids(models)).toContain('gpt-4o-mini');
  });

  it('all embed, or none of them', () => {
    const embedders = ['text-embedding-3-small', 'openai/text-embedding-3-large'];
    const models = make({ ...KEYS, models: { vectors: { deployments: embedders.map((name) => use(name)) } } });
    expect(served(models, 'vectors', 'embed')).toEqual([
      'openai/text-embedding-3-small primary 1',
      'openai/text-embedding-3-large primary 1',
    ]);
    expect(models.find('vectors')).toBeUndefined();
    expect(() => make({ ...KEYS, models: { both: { deployments: [use('gpt-4o'), use('text-embedding-3-small')] } } })).toThrow(
      'models.both: some of its deployments answer and some embed',
    );
  });

  it.each([
    ['pureai/nobody', 'is the id of no deployment'],
    ['claude-sonnet-4-5', 'needs ANTHROPIC_API_KEY'],
    ['anthropic/claude-sonnet-4-5', 'needs ANTHROPIC_API_KEY'],
    ['openai/claude-sonnet-4-5', 'is no model that is known here'],
    ['gpt-99', 'is no model that is known here with a price'],
    ['mini', 'is no model that is known here'],
    ['another', 'is no model that is known here'],
  ])('cannot use %s', (name, message) => {
    const models = { mine: { deployments: [use('gpt-4o-mini'), use(name)] }, another: { deployments: [use('gpt-4o')] } };
    const start = () => make({ ...KEYS, models, aliases: { mini: 'gpt-4o-mini' } });
    expect(start).toThrow(ConfigError);
    expect(start).toThrow(`models.mine.deployments.1.use: ${message}`);
  });
});
