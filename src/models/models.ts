import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/config-error.ts';
import { deploymentApiKey, type DeploymentConfig } from '../config/gateway-file.ts';
import { apiKeyVariable, baseUrlVariable, isPublicProvider, PUBLIC_PROVIDERS, type PublicProvider } from '../config/public-providers.ts';
import type { PriceSource } from '../pricing/price-schedule.ts';
import { createDemo } from '../providers/demo.ts';
import { createHttpProvider } from '../providers/http-provider.ts';
import { baseUrlOf, KNOWN_PROVIDERS } from '../providers/known-providers.ts';
import type { Provider } from '../providers/provider.ts';
import type { Operation } from '../wires/wire.ts';
import { customAuth } from './custom-deployment.ts';
import type { Deployment } from './deployment.ts';
import { refuseNamesOfNothing } from './names-of-nothing.ts';
import { createOffer, type Offer, type Serving, type Sources } from './offer.ts';

export type { Serving } from './offer.ts';

/** Models at the prices of now: those of a deployment never change, another one takes its place. */
export interface ModelIndex {
  /** Those that are listed and that `auto` chooses from: of one operation, `generate` where none is named. */
  list(operation?: Operation): readonly Deployment[];
  /** Names beside the deployments' own that can be asked for: aliases, and models that several serve. Some may stand for nothing at the prices of now. */
  names(): readonly string[];
  /**
   * The deployment behind an exact model id or an alias: the first of those that serve it. Undefined where no configured provider has it, no price is known, or it is of
   * another operation than asked for (`generate` where none is named).
   */
  find(model: string, operation?: Operation): Deployment | undefined;
  /**
   * All deployments that serve a model id or an alias, as the operator's configuration has them: primary ones first. The one of `find` alone
   * where the configuration says nothing of the model; none where `find` has none.
   */
  serving(model: string, operation?: Operation): readonly Serving[];
}

/** The models that can be called now. */
export interface Models extends ModelIndex {
  /** Undefined where the prices of the last look are still in force; else resolves once those of now are. */
  keepUp(): Promise<void> | undefined;
  /** Those of the public providers, for a caller who brings a key there: whether the operator has one or not. */
  readonly withOwnKey: ModelIndex;
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

type Variables = Partial<Pick<Config, `${Uppercase<PublicProvider>}_API_KEY` | `${Uppercase<PublicProvider>}_BASE_URL`>>;
type ModelsConfig = Pick<Config, 'DEMO_PROVIDER' | 'UPSTREAM_TIMEOUT_SECONDS' | 'deployments'> &
  Partial<Pick<Config, 'aliases' | 'models'>> &
  Variables;

/**
 * The deployments of a configuration: those of each public provider with a key, the operator's own, and the demo where there is nothing
 * else or the operator wants it. Throws ConfigError for deployments that cannot be told apart, and for names of nothing.
 */
export function createModels(config: ModelsConfig, { prices, providers: standIns = [] }: ModelsOptions): Models {
  const headersTimeoutMs = config.UPSTREAM_TIMEOUT_SECONDS * 1000;
  const provide = (id: string, create: () => Provider): Provider => standIns.find((standIn) => standIn.id === id) ?? create();
  const isConfigured = (id: PublicProvider) => config[apiKeyVariable(id)] !== undefined;

  const known = new Map(PUBLIC_PROVIDERS.map((id) => [id, provide(id, () => createPublicProvider(id, config, headersTimeoutMs))] as const));
  const custom = config.deployments.map((entry, index) => {
    refuseAmbiguous(entry, config.deployments.slice(0, index));
    return { entry, provider: provide(entry.id, () => createCustomProvider(entry, headersTimeoutMs)) };
  });
  const configured = [...known].flatMap(([id, provider]) => (isConfigured(id) ? [provider] : []));
  const providers = [...configured, ...custom.map(({ provider }) => provider)];
  const demo = config.DEMO_PROVIDER || providers.length === 0 ? provide('demo', createDemo) : undefined;
  if (demo) providers.push(demo);

  const aliases = new Map(Object.entries(config.aliases ?? {}));
  const served = new Map(Object.entries(config.models ?? {}).map(([model, { deployments }]) => [model, deployments] as const));
  const own: Sources = { known: new Map([...known].filter(([id]) => isConfigured(id))), custom, demo, aliases, served };
  refuseNamesOfNothing(createOffer(prices.current, own), own);
  const index = indexOf(prices, own);
  return {
    ...index,
    withOwnKey: indexOf(prices, { known, custom: [], demo: undefined, aliases, served: new Map() }),
    keepUp: () => prices.keepUp(),
    providers,
    allowParameters: new Set(config.deployments.flatMap((entry) => entry.allowParameters)),
    close: async () => void (await Promise.all([...new Set([...providers, ...known.values()])].map((provider) => provider.close()))),
  };
}

/** What is on offer, made anew when the prices turn. */
function indexOf(prices: PriceSource, sources: Sources): ModelIndex {
  let offer: Offer | undefined;
  const offerNow = (): Offer => (offer?.set === prices.current ? offer : (offer = createOffer(prices.current, sources)));
  const serving = (model: string, operation: Operation = 'generate'): readonly Serving[] => {
    const servings = offerNow().serving(model);
    return servings[0]?.deployment.operation === operation ? servings : [];
  };
  return {
    list: (operation = 'generate') => offerNow().listed[operation],
    names: () => [...sources.aliases.keys(), ...sources.served.keys()],
    find: (model, operation) => serving(model, operation)[0]?.deployment,
    serving,
  };
}

function createPublicProvider(id: PublicProvider, config: Variables, headersTimeoutMs: number): Provider {
  const { auth, headers, passesHeaders } = KNOWN_PROVIDERS[id];
  const baseUrl = baseUrlOf(KNOWN_PROVIDERS[id], config[baseUrlVariable(id)]);
  const apiKey = config[apiKeyVariable(id)];
  return createHttpProvider({ id, baseUrl, auth, apiKey, needsKey: true, headers, passesHeaders, headersTimeoutMs });
}

function createCustomProvider(entry: DeploymentConfig, headersTimeoutMs: number): Provider {
  const own = { ...(customAuth(entry) === 'x-api-key' && { 'anthropic-version': '2023-06-01' }), ...entry.headers };
  return createHttpProvider({
    id: entry.id,
    baseUrl: entry.baseUrl,
    auth: customAuth(entry),
    apiKey: deploymentApiKey(entry),
    headers: Object.entries(own).flat(),
    secrets: Object.values(entry.headers ?? {}),
    passesHeaders: false,
    headersTimeoutMs,
  });
}

/** A deployment's id is its provider's, in headers, reports and `routing.excludeProviders`. */
function refuseAmbiguous({ id }: DeploymentConfig, before: readonly DeploymentConfig[]): void {
  if (isPublicProvider(id) || id === 'demo') throw new ConfigError(`deployments: ${id} is the name of a public provider`);
  if (before.some((other) => other.id === id)) throw new ConfigError(`deployments: ${id} is there twice`);
}
