import type { PublicProvider } from '../config/public-providers.ts';
import { catalogueEntry, type Rates } from '../pricing/catalogue.ts';
import type { PriceSet } from '../pricing/price-schedule.ts';
import type { Provider, Tier } from '../providers/provider.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS } from '../wires/target.ts';
import { ANTHROPIC_MODELS } from './anthropic-models.ts';
import { DEEPSEEK_MODELS, GROQ_MODELS, MOONSHOT_MODELS } from './compatible-models.ts';
import { CREATED, type Deployment, type DeploymentLimits } from './deployment.ts';
import { GEMINI_MODELS } from './gemini-models.ts';
import type { ModelTable } from './model-facts.ts';
import { OPENAI_MODELS } from './openai-models.ts';

export const MODEL_TABLES: Readonly<Record<PublicProvider, ModelTable>> = {
  openai: OPENAI_MODELS,
  anthropic: ANTHROPIC_MODELS,
  gemini: GEMINI_MODELS,
  groq: GROQ_MODELS,
  deepseek: DEEPSEEK_MODELS,
  moonshot: MOONSHOT_MODELS,
};

/** Up to these prices of a million output tokens, in USD, a model is of the cheap and of the middle tier. */
const CHEAP_UP_TO_USD = 2;
const MID_UP_TO_USD = 10;

/** A model of a public provider; undefined where its price is not known or it cannot be served: it is refused, never free. */
export function publicDeployment(
  id: PublicProvider,
  model: string,
  provider: Provider,
  set: PriceSet,
  limits?: DeploymentLimits,
): Deployment | undefined {
  const facts = MODEL_TABLES[id].factsOf(model);
  if (!facts) return undefined;
  const entry = catalogueEntry(id, model);
  const pricedAs = [model, entry?.id].map((name) => `${id}/${name}`).find((name) => set.prices.has(name));
  const rates = pricedAs && set.prices.get(pricedAs);
  if (!rates) return undefined;
  const contextWindow = entry?.contextWindow ?? facts.contextWindow;
  const { maxOutputTokens, imageTokens, takesDocuments, takesRemoteMedia } = facts;
  return {
    id: `${id}/${model}`,
    model,
    provider,
    operation: facts.operation,
    wires: facts.wires,
    target: {
      providerId: id,
      model,
      maxOutputTokens,
      takesImages: imageTokens !== null,
      takesDocuments,
      takesRemoteMedia,
      traits: { ...PLAIN_TRAITS, ...facts.traits },
      dialect: { ...PLAIN_DIALECT, ...facts.dialect },
      allowParameters: [],
    },
    rateCard: { priceVersion: set.priceVersion, ...rates },
    pricedAs,
    tier: tierOf(rates),
    contextWindow,
    maxOutputTokens,
    tokenizer: facts.tokenizer,
    tokenFactor: facts.tokenFactor,
    imageTokens,
    documentTokens: takesDocuments ? contextWindow : null,
    tokensPerSecond: facts.tokensPerSecond,
    created: CREATED,
    ...(limits && { limits }),
  };
}

function tierOf({ output }: Rates): Tier {
  const usdPerMillion = Number(output) / 1_000_000;
  return usdPerMillion <= CHEAP_UP_TO_USD ? 'cheap' : usdPerMillion <= MID_UP_TO_USD ? 'mid' : 'premium';
}
