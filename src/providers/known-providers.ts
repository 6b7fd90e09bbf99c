import { PUBLIC_PROVIDERS, type PublicProvider } from '../config/public-providers.ts';
import type { WireName } from '../wires/wire.ts';

/** The header in which a provider takes its key. `bearer` is `Authorization: Bearer …`. */
export type CredentialHeader = 'bearer' | 'x-api-key' | 'x-goog-api-key' | 'api-key';

/** A public provider: all that it takes to speak to it. What its models take stands in `models/`. */
export interface KnownProvider {
  /** Where its API is, with the version in the path. */
  readonly baseUrl: string;
  /** What its own SDK adds to a base URL that names no version; '' where the SDK takes the URL as it is. */
  readonly versionPath: string;
  readonly wires: readonly WireName[];
  readonly auth: CredentialHeader;
  /** Names and values in turn: what every request carries. */
  readonly headers: readonly string[];
  /** Whether `x-request-id`, `openai-*` and `x-ratelimit-*` of its answers are handed on to clients of the same wire. */
  readonly passesHeaders: boolean;
  /** The ids of its models: how they begin, whether their price is known or not. */
  readonly models: RegExp;
}

const OPENAI_COMPATIBLE = { versionPath: '', wires: ['openai-chat'], auth: 'bearer', headers: [], passesHeaders: false } as const;

/** One row a provider. One more that speaks OpenAI's API is a row here, its name in `PUBLIC_PROVIDERS`, and a table of its models. */
export const KNOWN_PROVIDERS: Readonly<Record<PublicProvider, KnownProvider>> = {
  openai: {
    ...OPENAI_COMPATIBLE,
    baseUrl: 'https://api.openai.com/v1',
    wires: ['openai-chat', 'openai-responses', 'openai-completions', 'openai-embeddings'],
    passesHeaders: true,
    models: /^(gpt|o[134](-|$)|chatgpt|codex|text-embedding-|davinci-|babbage-)[^/]*$/,
  },
  anthropic: {
    baseUrl: 'https://api.anthropic.com/v1',
    versionPath: '/v1',
    wires: ['anthropic-messages'],
    auth: 'x-api-key',
    headers: ['anthropic-version', '2023-06-01'],
    passesHeaders: false,
    models: /^claude[^/]*$/,
  },
  gemini: {
    baseUrl: 'https://generativelanguage.googleapis.com/v1beta',
    versionPath: '/v1beta',
    wires: ['gemini-generate', 'gemini-embed'],
    // Never in the URL, which servers log.
    auth: 'x-goog-api-key',
    headers: [],
    passesHeaders: false,
    models: /^gemini[^/]*$/,
  },
  groq: {
    ...OPENAI_COMPATIBLE,
    baseUrl: 'https://api.groq.com/openai/v1',
    versionPath: '/openai/v1',
    // It serves others' open models under their makers' names.
    models: /^((llama|mixtral|gemma)[^/]*|(meta-llama|openai|qwen|moonshotai|groq)\/[^/]+)$/,
  },
  deepseek: { ...OPENAI_COMPATIBLE, baseUrl: 'https://api.deepseek.com', models: /^deepseek[^/]*$/ },
  // The international platform; keys of the Chinese one are others, and need its base URL.
  moonshot: { ...OPENAI_COMPATIBLE, baseUrl: 'https://api.moonshot.ai/v1', models: /^(moonshot|kimi)[^/]*$/ },
};

/** The public provider that a model id names by its beginning; undefined for any other id. */
export function publicProviderOf(model: string): PublicProvider | undefined {
  return PUBLIC_PROVIDERS.find((id) => KNOWN_PROVIDERS[id].models.test(model));
}

/** Where a provider's API is: the operator's URL as the provider's own SDK would take it, with its query, else the provider's own. */
export function baseUrlOf({ baseUrl, versionPath }: KnownProvider, given: string | undefined): string {
  const url = new URL(given ?? baseUrl);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = /\/v\d[\w.-]*$/.test(path) ? path : path + versionPath;
  return url.href;
}
