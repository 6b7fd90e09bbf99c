import { ConfigError } from '../config/config-error.ts';
import { apiKeyVariable, isPublicProvider, type PublicProvider } from '../config/public-providers.ts';
import { publicProviderOf } from '../providers/known-providers.ts';
import { CUSTOM_PREFIX } from './custom-deployment.ts';
import { MODEL_TABLES } from './public-deployment.ts';
import type { Offer, Sources } from './offer.ts';

/** Throws ConfigError for aliases and models that nothing is behind: what cannot be served stops the start, not a request. */
export function refuseNamesOfNothing(offer: Offer, { aliases, served, known }: Sources): void {
  for (const [model, uses] of served) {
    for (const [index, { use }] of uses.entries())
      if (!offer.deploymentOf(use))
        throw new ConfigError(`GATEWAY_CONFIG: models.${model}.deployments.${index}.use: ${whyNot(use, known)}`);
    const operations = new Set(offer.serving(model).map(({ deployment }) => deployment.operation));
    if (operations.size > 1) throw new ConfigError(`GATEWAY_CONFIG: models.${model}: some of its deployments answer and some embed`);
  }
  for (const [alias, model] of aliases)
    if (offer.serving(model).length === 0) throw new ConfigError(`GATEWAY_CONFIG: aliases.${alias}: ${whyNot(model, known)}`);
}

function whyNot(name: string, known: Sources['known']): string {
  if (name.startsWith(CUSTOM_PREFIX)) return 'is the id of no deployment';
  const provider = prefixOf(name) ?? publicProviderOf(name);
  return provider && !known.has(provider) ? `needs ${apiKeyVariable(provider)}` : 'is no model that is known here with a price';
}

/** The provider of `<provider>/<model>`. Others' open models have such ids of their own, `openai/gpt-oss-120b` at Groq. */
function prefixOf(name: string): PublicProvider | undefined {
  const [provider = '', ...rest] = name.split('/');
  return isPublicProvider(provider) && MODEL_TABLES[provider].factsOf(rest.join('/')) ? provider : undefined;
}
