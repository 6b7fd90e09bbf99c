import type { Prices } from '../pricing/catalogue.ts';
import type { Provider } from '../providers/provider.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS } from '../wires/target.ts';
import { CREATED, type Deployment } from './deployment.ts';

const MAX_OUTPUT_TOKENS = 16_384;

/** The built-in demo's models: one of each tier, and one that embeds where it has a price. */
export function demoDeployments(provider: Provider, prices: Prices, priceVersion: number): Deployment[] {
  const models = (['cheap', 'mid', 'premium'] as const).map((tier) => ({ model: `demo-${tier}`, tier, embeds: false }));
  return [...models, { model: 'demo-embedding', tier: 'cheap' as const, embeds: true }].flatMap(({ model, tier, embeds }): Deployment[] => {
    const rates = prices.get(`demo/${model}`);
    if (!rates) return [];
    const maxOutputTokens = embeds ? 0 : MAX_OUTPUT_TOKENS;
    return [
      {
        id: `demo/${model}`,
        model,
        provider,
        operation: embeds ? 'embed' : 'generate',
        wires: [embeds ? 'openai-embeddings' : 'openai-chat'],
        target: {
          providerId: provider.id,
          model,
          maxOutputTokens,
          takesImages: !embeds,
          takesDocuments: false,
          takesRemoteMedia: !embeds,
          traits: PLAIN_TRAITS,
          dialect: PLAIN_DIALECT,
          allowParameters: [],
        },
        rateCard: { priceVersion, ...rates },
        pricedAs: `demo/${model}`,
        tier,
        contextWindow: 128_000,
        maxOutputTokens,
        tokenizer: 'bytes',
        tokenFactor: 1,
        imageTokens: embeds ? null : 1_024,
        documentTokens: null,
        tokensPerSecond: 100,
        created: CREATED,
      },
    ];
  });
}
