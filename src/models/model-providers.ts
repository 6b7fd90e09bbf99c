import type { Config } from '../config/config.ts';
import { deploymentApiKey, type DeploymentConfig } from '../config/gateway-file.ts';
import { apiKeyVariable, baseUrlVariable, PUBLIC_PROVIDERS, type PublicProvider } from '../config/public-providers.ts';
import { settingName } from '../config/setting-problem.ts';
import { createDemo } from '../providers/demo.ts';
import { createHttpProvider, type HttpProviderOptions } from '../providers/http-provider.ts';
import { baseUrlOf, KNOWN_PROVIDERS } from '../providers/known-providers.ts';
import type { Provider } from '../providers/provider.ts';
import { customAuth } from './custom-deployment.ts';

type Variables = Partial<Pick<Config, `${Uppercase<PublicProvider>}_API_KEY` | `${Uppercase<PublicProvider>}_BASE_URL`>>;
export type ProvidersConfig = Pick<Config, 'DEMO_PROVIDER' | 'UPSTREAM_TIMEOUT_SECONDS' | 'deployments'> &
  Partial<Pick<Config, 'locate'>> &
  Variables;

/** All providers of a configuration. */
export interface ModelProviders {
  /** Every public one, whether the operator has a key there or not. */
  readonly known: ReadonlyMap<PublicProvider, Provider>;
  readonly custom: readonly { readonly entry: DeploymentConfig; readonly provider: Provider }[];
  /** Where there is nothing else, or the operator wants it. */
  readonly demo: Provider | undefined;
  /** Those that serve everybody. */
  readonly configured: readonly Provider[];
  /** By what each was made of: one that would be made of the same is the same, with its open connections. */
  readonly made: ReadonlyMap<string, Provider>;
}

export interface OpenProvidersOptions {
  /** Stand in for those of the same id. */
  standIns: readonly Provider[];
  /** What was made before, as far as it is still the same. */
  made?: ModelProviders['made'] | undefined;
}

/** Opens a configuration's providers: nothing is sent yet. Throws ConfigError for a key's file that cannot be read. */
export function openProviders(config: ProvidersConfig, { standIns, made = new Map() }: OpenProvidersOptions): ModelProviders {
  const headersTimeoutMs = config.UPSTREAM_TIMEOUT_SECONDS * 1000;
  const inUse = new Map<string, Provider>();
  const provide = (id: string, of: object, create: () => Provider): Provider => {
    const recipe = JSON.stringify([id, of]);
    const provider = standIns.find((standIn) => standIn.id === id) ?? made.get(recipe) ?? create();
    inUse.set(recipe, provider);
    return provider;
  };
  const overHttp = (options: HttpProviderOptions) => provide(options.id, options, () => createHttpProvider(options));

  const known = new Map(PUBLIC_PROVIDERS.map((id) => [id, overHttp(publicOptions(id, config, headersTimeoutMs))] as const));
  const custom = config.deployments.map((entry, index) => {
    const apiKey = deploymentApiKey(entry, settingName(['deployments', index, 'apiKeyFile'], config.locate));
    return { entry, provider: overHttp({ ...customOptions(entry), apiKey, headersTimeoutMs }) };
  });
  const withKey = [...known].flatMap(([id, provider]) => (hasKey(config, id) ? [provider] : []));
  const configured = [...withKey, ...custom.map(({ provider }) => provider)];
  const demo = config.DEMO_PROVIDER || configured.length === 0 ? provide('demo', {}, createDemo) : undefined;
  return { known, custom, demo, configured: demo ? [...configured, demo] : configured, made: inUse };
}

/** Whether the operator has a key of a public provider. */
export function hasKey(config: Variables, id: PublicProvider): boolean {
  return config[apiKeyVariable(id)] !== undefined;
}

function publicOptions(id: PublicProvider, config: Variables, headersTimeoutMs: number): HttpProviderOptions {
  const { auth, headers, passesHeaders } = KNOWN_PROVIDERS[id];
  const baseUrl = baseUrlOf(KNOWN_PROVIDERS[id], config[baseUrlVariable(id)]);
  return { id, baseUrl, auth, apiKey: config[apiKeyVariable(id)], needsKey: true, headers, passesHeaders, headersTimeoutMs };
}

function customOptions(entry: DeploymentConfig): Omit<HttpProviderOptions, 'headersTimeoutMs'> {
  const auth = customAuth(entry);
  const own = { ...(auth === 'x-api-key' && { 'anthropic-version': '2023-06-01' }), ...entry.headers };
  return {
    id: entry.id,
    baseUrl: entry.baseUrl,
    auth,
    headers: Object.entries(own).flat(),
    secrets: Object.values(entry.headers ?? {}),
    passesHeaders: false,
    takesTraces: true,
  };
}
