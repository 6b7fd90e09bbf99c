import { apiKeyVariable, isPublicProvider, type PublicProvider } from '../config/public-providers.ts';
import type { SettingProblem } from '../config/setting-problem.ts';
import { publicProviderOf } from '../providers/known-providers.ts';
import { CUSTOM_PREFIX } from './custom-deployment.ts';
import { MODEL_TABLES } from './public-deployment.ts';
import type { Offer, Sources } from './offer.ts';

/** What is wrong with aliases and models that nothing is behind: what cannot be served stops the start, not a request. */
export function namesOfNothing(offer: Offer, { aliases, served, known }: Sources): SettingProblem[] {
  const problems: SettingProblem[] = [];
  for (const [model, uses] of served) {
    for (const [index, { use }] of uses.entries())
      if (!offer.deploymentOf(use)) problems.push({ path: ['models', model, 'deployments', index, 'use'], message: whyNot(use, known) });
    const operations = new Set(offer.serving(model).map(({ deployment }) => deployment.operation));
    if (operations.size > 1)
      problems.push({ path: ['models', model], message: 'some of its deployments answer and some embed', part: 'name' });
  }
  for (const [alias, model] of aliases)
    if (!served.has(model) && offer.serving(model).length === 0) problems.push({ path: ['aliases', alias], message: whyNot(model, known) });
  return problems;
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
