import type { Config } from '../config/config.ts';
import { sharedIds } from '../config/deployment-config.ts';
import { settingError } from '../config/setting-problem.ts';
import type { PriceSet, PriceSource } from '../pricing/price-schedule.ts';
import type { Provider } from '../providers/provider.ts';
import type { Operation } from '../wires/wire.ts';
import type { Deployment } from './deployment.ts';
import { hasKey, openProviders, type ModelProviders, type ProvidersConfig } from './model-providers.ts';
import { namesOfNothing } from './names-of-nothing.ts';
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

/** Models whose configuration can change. */
export interface ReloadableModels extends Models {
  /**
   * Makes another configuration's models, at that configuration's prices, and changes nothing yet. What it returns puts them in place at
   * once, and gives the providers that are of no use any more: to be closed once the requests of before are over. Throws as `createModels`.
   */
  prepare(config: ModelsConfig, set: PriceSet): () => readonly Provider[];
}

export interface ModelsOptions {
  prices: PriceSource;
  /** Stand in for the configured providers of the same id. */
  providers?: readonly Provider[];
}

export type ModelsConfig = ProvidersConfig & Partial<Pick<Config, 'aliases' | 'models' | 'providers'>>;

/** What a configuration makes: one is put in place of another whole. */
interface Configured {
  readonly providers: ModelProviders;
  readonly onOffer: ModelIndex;
  readonly withOwnKey: ModelIndex;
  readonly allowParameters: ReadonlySet<string>;
}

/**
 * The deployments of a configuration: those of each public provider with a key, the operator's own, and the demo where there is nothing
 * else or the operator wants it. Throws ConfigError for deployments that cannot be told apart, and for names of nothing.
 */
export function createModels(config: ModelsConfig, { prices, providers: standIns = [] }: ModelsOptions): ReloadableModels {
  const configure = (wanted: ModelsConfig, set: PriceSet, made?: ModelProviders['made']): Configured => {
    refuseSharedIds(wanted);
    const providers = openProviders(wanted, { standIns, made });
    const aliases = new Map(Object.entries(wanted.aliases ?? {}));
    const served = new Map(Object.entries(wanted.models ?? {}).map(([model, { deployments }]) => [model, deployments] as const));
    const limits = new Map(Object.entries(wanted.providers ?? {}).map(([id, own]) => [id, own?.limits] as const));
    const known = new Map([...providers.known].filter(([id]) => hasKey(wanted, id)));
    const own: Sources = { known, custom: providers.custom, demo: providers.demo, aliases, served, limits };
    // What cannot be offered stops the start, not a request.
    const problems = namesOfNothing(createOffer(set, own), own);
    if (problems.length > 0) throw settingError(problems, wanted.locate);
    return {
      providers,
      onOffer: indexOf(prices, own),
      withOwnKey: indexOf(prices, { known: providers.known, custom: [], demo: undefined, aliases, served: new Map(), limits: new Map() }),
      allowParameters: new Set(wanted.deployments.flatMap((entry) => entry.allowParameters)),
    };
  };
  let now = configure(config, prices.current);
  return {
    ...pointing(() => now.onOffer),
    withOwnKey: pointing(() => now.withOwnKey),
    keepUp: () => prices.keepUp(),
    get providers() {
      return now.providers.configured;
    },
    get allowParameters() {
      return now.allowParameters;
    },
    prepare(wanted, set) {
      const next = configure(wanted, set, now.providers.made);
      return () => {
        const staying = new Set(next.providers.made.values());
        const leaving = [...now.providers.made.values()].filter((provider) => !staying.has(provider));
        now = next;
        return leaving;
      };
    },
    close: async () => void (await Promise.all([...new Set(now.providers.made.values())].map((provider) => provider.close()))),
  };
}

/** The index that is in place when it is asked. */
function pointing(index: () => ModelIndex): ModelIndex {
  return {
    list: (operation) => index().list(operation),
    names: () => index().names(),
    find: (model, operation) => index().find(model, operation),
    serving: (model, operation) => index().serving(model, operation),
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

function refuseSharedIds({ deployments, locate }: ModelsConfig): void {
  const problems = sharedIds(deployments);
  if (problems.length > 0) throw settingError(problems, locate);
}
