import { ConfigError } from '../config/config-error.ts';
import type { DeploymentConfig } from '../config/gateway-file.ts';
import type { PublicProvider } from '../config/public-providers.ts';
import type { PriceSet } from '../pricing/price-schedule.ts';
import { publicProviderOf } from '../providers/known-providers.ts';
import type { Provider } from '../providers/provider.ts';
import type { Operation } from '../wires/wire.ts';
import { CUSTOM_PREFIX, customDeployment } from './custom-deployment.ts';
import { demoDeployments } from './demo-deployments.ts';
import type { Deployment } from './deployment.ts';
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
}

/** All that is on offer at one set of prices. */
export interface Offer {
  readonly set: PriceSet;
  readonly listed: Readonly<Record<Operation, readonly Deployment[]>>;
  find(model: string): Deployment | undefined;
}

export function createOffer(set: PriceSet, { known, custom, demo, aliases }: Sources): Offer {
  const { prices, priceVersion } = set;
  const publicModel = (model: string): Deployment | undefined => {
    const id = publicProviderOf(model);
    const provider = id && known.get(id);
    return id && provider && publicDeployment(id, model, provider, set);
  };
  const listed: Deployment[] = [...known.keys()]
    .flatMap((id) => MODEL_TABLES[id].listed.map(publicModel))
    .filter((deployment) => deployment !== undefined);
  for (const { entry, provider } of custom) {
    const rates = prices.get(`${CUSTOM_PREFIX}${entry.id}`);
    if (!rates) throw new ConfigError(`deployments: ${entry.id} has no price`);
    listed.push(customDeployment(entry, provider, { priceVersion, ...rates }));
  }
  if (demo) listed.push(...demoDeployments(demo, prices, priceVersion));

  const byModel = new Map(listed.map((deployment) => [deployment.model, deployment]));
  const onDemand = new Map<string, Deployment>();
  return {
    set,
    listed: {
      generate: listed.filter(({ operation }) => operation === 'generate'),
      embed: listed.filter(({ operation }) => operation === 'embed'),
    },
    find(asked) {
      const model = aliases.get(asked) ?? asked;
      const there = byModel.get(model) ?? onDemand.get(model);
      if (there) return there;
      const found = publicModel(model);
      if (found && onDemand.size < MAX_ON_DEMAND) onDemand.set(model, found);
      return found;
    },
  };
}
