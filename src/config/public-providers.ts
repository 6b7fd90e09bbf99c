import type { z } from 'zod';
import { httpUrl, text } from './value.ts';

/**
 * The providers that anybody can have a key of. Each has two variables, a row in `providers/known-providers.ts`, and a table of its
 * families in `models/`.
 */
export const PUBLIC_PROVIDERS = ['openai', 'anthropic', 'gemini', 'groq', 'deepseek', 'moonshot'] as const;
export type PublicProvider = (typeof PUBLIC_PROVIDERS)[number];

export type ApiKeyVariable = `${Uppercase<PublicProvider>}_API_KEY`;
export type BaseUrlVariable = `${Uppercase<PublicProvider>}_BASE_URL`;

export const API_KEY_VARIABLES: readonly ApiKeyVariable[] = PUBLIC_PROVIDERS.map(apiKeyVariable);

export function apiKeyVariable(provider: PublicProvider): ApiKeyVariable {
  return `${provider.toUpperCase() as Uppercase<PublicProvider>}_API_KEY`;
}

export function baseUrlVariable(provider: PublicProvider): BaseUrlVariable {
  return `${provider.toUpperCase() as Uppercase<PublicProvider>}_BASE_URL`;
}

export function isPublicProvider(id: string): id is PublicProvider {
  return (PUBLIC_PROVIDERS as readonly string[]).includes(id);
}

/** Where a provider is reached. What is in front of an `@` would be a credential that is sent nowhere. */
export const baseUrl = httpUrl.refine((url) => !/^https?:\/\/[^/?#]*@/i.test(url), 'must have no user in it; give the key as apiKey');

const apiKey = text.optional();
const baseUrlOrDefault = baseUrl.optional();

/** The variables of all of them. */
export const providerVariables = Object.fromEntries(
  PUBLIC_PROVIDERS.flatMap((provider): [string, z.ZodType][] => [
    [apiKeyVariable(provider), apiKey],
    [baseUrlVariable(provider), baseUrlOrDefault],
  ]),
) as Record<ApiKeyVariable, typeof apiKey> & Record<BaseUrlVariable, typeof baseUrlOrDefault>;
