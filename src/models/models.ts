import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/config-error.ts';
import { deploymentApiKey, type DeploymentConfig } from '../config/gateway-file.ts';
import { catalogueEntry, type Prices, type Rates } from '../pricing/catalogue.ts';
import type { PriceSet, PriceSource } from '../pricing/price-schedule.ts';
import { createDemo } from '../providers/demo.ts';
import { createHttpProvider, type HttpProviderOptions } from '../providers/http-provider.ts';
import { baseUrlOf, KNOWN_PROVIDERS } from '../providers/known-providers.ts';
import type { Provider, Tier } from '../providers/provider.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS, type Target } from '../wires/target.ts';
import type { Operation } from '../wires/wire.ts';
import type { Deployment } from './deployment.ts';
import { isOpenAiChatModel, OPENAI_LISTED, openAiModel } from './openai-models.ts';

/** The models that can be called now, at the prices of now: those of a deployment never change, another one takes its place. */
export interface Models {
  /** Undefined where the prices of the last look are still in force; else resolves once those of now are. */
  keepUp(): Promise<void> | undefined;
  /** Those that are listed and that `auto` chooses from: of one operation, `generate` where none is named. */
  list(operation?: Operation): readonly Deployment[];
  /**
   * The deployment behind an exact model id or an alias; undefined where no configured provider has it, no price is known, or it is of
   * another operation than asked for (`generate` where none is named).
   */
  find(model: string, operation?: Operation): Deployment | undefined;
  /** The configured providers. */
  readonly providers: readonly Provider[];
  /** All fields that the operator lets through to some deployment without a rule. */
  readonly allowParameters: ReadonlySet<string>;
  /** Closes the providers' idle connections. */
  close(): Promise<void>;
}

export interface ModelsOptions {
  prices: PriceSource;
  /** Stand in for the configured providers of the same id. */
  providers?: readonly Provider[];
}

type ModelsConfig = Pick<Config, 'OPENAI_API_KEY' | 'OPENAI_BASE_URL' | 'DEMO_PROVIDER' | 'UPSTREAM_TIMEOUT_SECONDS' | 'deployments'>;

const RESERVED_PROVIDER_IDS = new Set(['openai', 'anthropic', 'groq', 'gemini', 'deepseek', 'moonshot', 'demo']);
const CUSTOM_PREFIX = 'pureai/';
/** Ids asked for beyond the list that are remembered; more only cost the search again. */
const MAX_ON_DEMAND = 512;

/** Up to these prices of a million output tokens, in USD, a model is of the cheap and of the middle tier. */
const CHEAP_UP_TO_USD = 2;
const MID_UP_TO_USD = 10;

/** 2025-01-01: the day that the demo's and the operator's own models claim to be of. */
const CREATED = 1_735_689_600;

/**
 * The deployments of a configuration: OpenAI's with a key, the operator's own, and the demo where there is nothing else
 * or the operator wants it. Throws ConfigError for deployments that cannot be told apart.
 */
export function createModels(config: ModelsConfig, { prices, providers: standIns = [] }: ModelsOptions): Models {
  const headersTimeoutMs = config.UPSTREAM_TIMEOUT_SECONDS * 1000;
  const providers: Provider[] = [];
  const provide = (id: string, create: () => Provider): Provider => {
    const provider = standIns.find((standIn) => standIn.id === id) ?? create();
    providers.push(provider);
    return provider;
  };
  const wire = (options: Pick<HttpProviderOptions, 'id' | 'baseUrl' | 'apiKey' | 'passesHeaders'>) =>
    createHttpProvider({ headersTimeoutMs, ...options });

  const openAi =
    config.OPENAI_API_KEY === undefined
      ? undefined
      : provide('openai', () =>
          wire({
            id: 'openai',
            baseUrl: baseUrlOf(KNOWN_PROVIDERS.openai, config.OPENAI_BASE_URL),
            apiKey: config.OPENAI_API_KEY,
            passesHeaders: true,
          }),
        );
  const custom = config.deployments.map((entry) => {
    refuseAmbiguous(entry, providers);
    return {
      entry,
      provider: provide(entry.id, () =>
        wire({ id: entry.id, baseUrl: entry.baseUrl, apiKey: deploymentApiKey(entry), passesHeaders: false }),
      ),
    };
  });
  const demo = config.DEMO_PROVIDER || providers.length === 0 ? provide('demo', createDemo) : undefined;

  let offer = createOffer(prices.current, { openAi, custom, demo });
  const offerNow = (): Offer => (offer.set === prices.current ? offer : (offer = createOffer(prices.current, { openAi, custom, demo })));
  return {
    keepUp: () => prices.keepUp(),
    list: (operation = 'generate') => offerNow().listed[operation],
    find(model, operation = 'generate') {
      const found = offerNow().find(model);
      return found?.operation === operation ? found : undefined;
    },
    providers,
    allowParameters: new Set(config.deployments.flatMap((entry) => entry.allowParameters)),
    close: async () => void (await Promise.all(providers.map((provider) => provider.close()))),
  };
}

interface Sources {
  openAi: Provider | undefined;
  custom: readonly { entry: DeploymentConfig; provider: Provider }[];
  demo: Provider | undefined;
}

/** All that is on offer at one set of prices. */
interface Offer {
  readonly set: PriceSet;
  readonly listed: Readonly<Record<Operation, readonly Deployment[]>>;
  find(model: string): Deployment | undefined;
}

function createOffer(set: PriceSet, { openAi, custom, demo }: Sources): Offer {
  const { prices, priceVersion } = set;
  const openAiDeployment = (model: string): Deployment | undefined =>
    openAi && isOpenAiChatModel(model) ? createOpenAiDeployment(model, openAi, prices, priceVersion) : undefined;
  const listed: Deployment[] = openAi ? OPENAI_LISTED.map(openAiDeployment).filter((deployment) => deployment !== undefined) : [];
  for (const { entry, provider } of custom) {
    const rates = prices.get(`${CUSTOM_PREFIX}${entry.id}`);
    if (!rates) throw new ConfigError(`deployments: ${entry.id} has no price`);
    listed.push(createCustomDeployment(entry, provider, { priceVersion, ...rates }));
  }
  if (demo) listed.push(...createDemoDeployments(demo, prices, priceVersion));

  const byModel = new Map(listed.map((deployment) => [deployment.model, deployment]));
  const onDemand = new Map<string, Deployment>();
  return {
    set,
    listed: {
      generate: listed.filter(({ operation }) => operation === 'generate'),
      embed: listed.filter(({ operation }) => operation === 'embed'),
    },
    find(model) {
      const known = byModel.get(model) ?? onDemand.get(model);
      if (known) return known;
      const found = openAiDeployment(model);
      if (found && onDemand.size < MAX_ON_DEMAND) onDemand.set(model, found);
      return found;
    },
  };
}

function createOpenAiDeployment(model: string, provider: Provider, prices: Prices, priceVersion: number): Deployment | undefined {
  const entry = catalogueEntry('openai', model);
  const pricedAs = [model, entry?.id].map((id) => `openai/${id}`).find((name) => prices.has(name));
  const rates = pricedAs && prices.get(pricedAs);
  if (!rates) return undefined;
  const facts = openAiModel(model);
  return {
    ...facts,
    model,
    upstreamModel: model,
    provider,
    operation: 'generate',
    wires: ['openai-chat'],
    target: targetOf(provider, {
      model,
      maxOutputTokens: facts.maxOutputTokens,
      takesImages: facts.imageTokens !== null,
      takesRemoteMedia: true,
      dialect: { ...PLAIN_DIALECT, capField: 'max_completion_tokens', stores: true },
    }),
    tokenFactor: 1,
    documentTokens: null,
    rateCard: { priceVersion, ...rates },
    pricedAs,
    tier: tierOf(rates),
    contextWindow: entry?.contextWindow ?? 128_000,
    capField: 'max_completion_tokens',
    remoteImages: true,
    created: CREATED,
    allowParameters: [],
  };
}

function createCustomDeployment(entry: DeploymentConfig, provider: Provider, rateCard: Deployment['rateCard']): Deployment {
  return {
    model: `${CUSTOM_PREFIX}${entry.id}`,
    upstreamModel: entry.model ?? entry.id,
    provider,
    operation: 'generate',
    wires: ['openai-chat'],
    target: targetOf(provider, {
      model: entry.model ?? entry.id,
      maxOutputTokens: entry.maxOutputTokens,
      takesImages: entry.imageTokens !== undefined,
      takesRemoteMedia: entry.remoteImages,
      dialect: { ...PLAIN_DIALECT, capField: entry.capField },
      allowParameters: entry.allowParameters,
    }),
    tokenFactor: 1,
    documentTokens: null,
    rateCard,
    pricedAs: `${CUSTOM_PREFIX}${entry.id}`,
    tier: entry.tier,
    contextWindow: entry.contextWindow,
    maxOutputTokens: entry.maxOutputTokens,
    capField: entry.capField,
    tokenizer: 'bytes',
    imageTokens: entry.imageTokens ?? null,
    remoteImages: entry.remoteImages,
    tokensPerSecond: 50,
    created: CREATED,
    allowParameters: entry.allowParameters,
  };
}

function createDemoDeployments(provider: Provider, prices: Prices, priceVersion: number): Deployment[] {
  return (['cheap', 'mid', 'premium'] as const).flatMap((tier) => {
    const model = `demo-${tier}`;
    const rates = prices.get(`demo/${model}`);
    if (!rates) return [];
    return [
      {
        model,
        upstreamModel: model,
        provider,
        operation: 'generate' as const,
        wires: ['openai-chat'] as const,
        target: targetOf(provider, { model, maxOutputTokens: 16_384, takesImages: true, takesRemoteMedia: true }),
        tokenFactor: 1,
        documentTokens: null,
        rateCard: { priceVersion, ...rates },
        pricedAs: `demo/${model}`,
        tier,
        contextWindow: 128_000,
        maxOutputTokens: 16_384,
        capField: 'max_tokens' as const,
        tokenizer: 'bytes' as const,
        imageTokens: 1_024,
        remoteImages: true,
        tokensPerSecond: 100,
        created: CREATED,
        allowParameters: [],
      },
    ];
  });
}

function targetOf({ id }: Provider, facts: Partial<Target> & Pick<Target, 'model' | 'maxOutputTokens'>): Target {
  return {
    providerId: id,
    takesImages: false,
    takesDocuments: false,
    takesRemoteMedia: false,
    traits: PLAIN_TRAITS,
    dialect: PLAIN_DIALECT,
    allowParameters: [],
    ...facts,
  };
}

function tierOf({ output }: Rates): Tier {
  const usdPerMillion = Number(output) / 1_000_000;
  return usdPerMillion <= CHEAP_UP_TO_USD ? 'cheap' : usdPerMillion <= MID_UP_TO_USD ? 'mid' : 'premium';
}

/** A deployment's id is its provider's, in headers, reports and `routing.excludeProviders`. */
function refuseAmbiguous({ id }: DeploymentConfig, providers: readonly Provider[]): void {
  if (RESERVED_PROVIDER_IDS.has(id)) throw new ConfigError(`deployments: ${id} is the name of a public provider`);
  if (providers.some((provider) => provider.id === id)) throw new ConfigError(`deployments: ${id} is there twice`);
}
