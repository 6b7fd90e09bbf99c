import { ConfigError } from '../config/config-error.ts';
import type { DeploymentConfig } from '../config/gateway-file.ts';
import type { ServingConfig } from '../config/model-config.ts';
import { isPublicProvider, type PublicProvider } from '../config/public-providers.ts';
import type { PriceSet } from '../pricing/price-schedule.ts';
import { publicProviderOf } from '../providers/known-providers.ts';
import type { Provider } from '../providers/provider.ts';
import type { Operation } from '../wires/wire.ts';
import { CUSTOM_PREFIX, customDeployment } from './custom-deployment.ts';
import { demoDeployments } from './demo-deployments.ts';
import type { Deployment, DeploymentLimits } from './deployment.ts';
import { MODEL_TABLES, publicDeployment } from './public-deployment.ts';

/** Ids asked for beyond the list that are remembered; more only cost the search again. */
const MAX_ON_DEMAND = 512;

/** Where models come from. */
export interface Sources {
  readonly known: ReadonlyMap<PublicProvider, Provider>;
  readonly custom: readonly { entry: DeploymentConfig; provider: Provider }[];
  readonly demo: Provider | undefined;
  /** Other names of models. They win over a model of the same id, and stand for no other alias. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Who serves a model, as the operator has it. Such a model wins over the one of the same id, which its own deployments may still name. */
  readonly served: ReadonlyMap<string, readonly ServingConfig[]>;
  /** Of each model of a public provider. */
  readonly limits: ReadonlyMap<string, DeploymentLimits | undefined>;
}

/** One of the deployments that serve a model. */
export interface Serving {
  readonly deployment: Deployment;
  /** A backup is asked once no primary one can answer. */
  readonly type: 'primary' | 'backup';
  /** Its share of the load among those of its type: above 0. */
  readonly weight: number;
}

/** All that is on offer at one set of prices. */
export interface Offer {
  readonly set: PriceSet;
  readonly listed: Readonly<Record<Operation, readonly Deployment[]>>;
  /** Who serves an id or an alias: primary ones first; none where nobody does. */
  serving(model: string): readonly Serving[];
  /** The one deployment of a model's own id, or of `<provider>/<model>`: no alias, and not who else serves it. */
  deploymentOf(name: string): Deployment | undefined;
}

export function createOffer(set: PriceSet, { known, custom, demo, aliases, served, limits }: Sources): Offer {
  const { prices, priceVersion } = set;
  const publicModel = (model: string, id = publicProviderOf(model)): Deployment | undefined => {
    const provider = id && known.get(id);
    return id && provider && publicDeployment(id, model, provider, set, limits.get(id));
  };
  const listed: Deployment[] = [...known.keys()]
    .flatMap((id) => MODEL_TABLES[id].listed.map((model) => publicModel(model, id)))
    .filter((deployment) => deployment !== undefined);
  for (const { entry, provider } of custom) {
    const rates = prices.get(`${CUSTOM_PREFIX}${entry.id}`);
    if (!rates) throw new ConfigError(`deployments: ${entry.id} has no price`);
    listed.push(customDeployment(entry, provider, { priceVersion, ...rates }));
  }
  if (demo) listed.push(...demoDeployments(demo, prices, priceVersion));

  const byModel = new Map(listed.map((deployment) => [deployment.model, deployment]));
  const onDemand = new Map<string, Deployment>();
  const ofModel = (model: string): Deployment | undefined => {
    const there = byModel.get(model) ?? onDemand.get(model);
    if (there) return there;
    const found = publicModel(model);
    if (found && onDemand.size < MAX_ON_DEMAND) onDemand.set(model, found);
    return found;
  };
  const deploymentOf = (name: string): Deployment | undefined => {
    const there = ofModel(name) ?? listed.find(({ id }) => id === name);
    if (there) return there;
    const [provider = '', ...rest] = name.split('/');
    return isPublicProvider(provider) ? publicModel(rest.join('/'), provider) : undefined;
  };
  const servings = new Map([...served].map(([model, uses]) => [model, servingsOf(uses, deploymentOf)]));
  return {
    set,
    listed: {
      generate: listed.filter(({ operation }) => operation === 'generate'),
      embed: listed.filter(({ operation }) => operation === 'embed'),
    },
    deploymentOf,
    serving(asked) {
      const model = aliases.get(asked) ?? asked;
      const several = servings.get(model);
      if (several) return several;
      const deployment = ofModel(model);
      return deployment ? [{ deployment, type: 'primary', weight: 1 }] : [];
    },
  };
}

/** Primary ones first, otherwise as the operator wrote them. One without a price now serves again once it has one. */
function servingsOf(uses: readonly ServingConfig[], deploymentOf: Offer['deploymentOf']): readonly Serving[] {
  const servings = uses.flatMap(({ use, weight, backup }): Serving[] => {
    const deployment = deploymentOf(use);
    return deployment ? [{ deployment, type: backup ? 'backup' : 'primary', weight }] : [];
  });
  return [...servings.filter(({ type }) => type === 'primary'), ...servings.filter(({ type }) => type === 'backup')];
}
