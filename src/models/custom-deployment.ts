import { operationOf, wiresOf } from '../config/deployment-config.ts';
import type { DeploymentConfig } from '../config/gateway-file.ts';
import type { RateCard } from '../pricing/rate-card.ts';
import type { CredentialHeader } from '../providers/known-providers.ts';
import type { Provider } from '../providers/provider.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS, type Dialect, type ModelTraits } from '../wires/target.ts';
import { CREATED, type Deployment } from './deployment.ts';

export const CUSTOM_PREFIX = 'pureai/';

/** A model at a server of the operator's, as its entry describes it. */
export function customDeployment(entry: DeploymentConfig, provider: Provider, rateCard: RateCard): Deployment {
  const { capField, maxOutputTokens, contextWindow, allowParameters } = entry;
  const model = entry.model ?? entry.id;
  const takesDocuments = entry.documents ?? false;
  return {
    id: `${CUSTOM_PREFIX}${entry.id}`,
    model: `${CUSTOM_PREFIX}${entry.id}`,
    provider,
    operation: operationOf(entry),
    wires: wiresOf(entry),
    target: {
      providerId: provider.id,
      model,
      maxOutputTokens,
      takesImages: entry.imageTokens !== undefined,
      takesDocuments,
      takesRemoteMedia: entry.remoteImages,
      traits: { ...PLAIN_TRAITS, ...given<ModelTraits>(entry.traits) },
      dialect: { ...PLAIN_DIALECT, capField, ...given<Dialect>(entry.dialect) },
      allowParameters,
    },
    rateCard,
    pricedAs: `${CUSTOM_PREFIX}${entry.id}`,
    tier: entry.tier,
    contextWindow,
    maxOutputTokens,
    tokenizer: 'bytes',
    tokenFactor: 1,
    imageTokens: entry.imageTokens ?? null,
    documentTokens: takesDocuments ? contextWindow : null,
    tokensPerSecond: 50,
    created: CREATED,
    ...(entry.limits && { limits: entry.limits }),
  };
}

/** The header in which a server takes its key: as the operator says, else as the one who made the wire has it. */
export function customAuth(entry: DeploymentConfig): CredentialHeader {
  const [wire] = wiresOf(entry);
  if (entry.auth) return entry.auth;
  return wire === 'anthropic-messages' ? 'x-api-key' : wire === 'gemini-generate' || wire === 'gemini-embed' ? 'x-goog-api-key' : 'bearer';
}

/** What an entry says, without what it leaves out. */
function given<T extends object>(said: object | undefined): Partial<T> {
  return Object.fromEntries(Object.entries(said ?? {}).filter(([, value]) => value !== undefined)) as Partial<T>;
}
