import { ConfigError } from './config-error.ts';
import type { Environment } from './environment.ts';
import type { DeploymentConfig, GatewayFile } from './gateway-file.ts';
import { API_KEY_VARIABLES, type ApiKeyVariable } from './public-providers.ts';

export type LightningBackend = NonNullable<Environment['LIGHTNING_BACKEND']>;

type WalletVariables = Pick<
  Environment,
  'LIGHTNING_BACKEND' | 'LND_SOCKET' | 'LND_MACAROON' | 'LND_OLD_SOCKET' | 'LND_OLD_MACAROON' | 'NWC_URL'
>;

/** The backend named, else the one whose variables are set. Throws ConfigError where it lacks some. */
export function lightningBackend(config: WalletVariables): LightningBackend {
  const backend = config.LIGHTNING_BACKEND ?? (config.LND_SOCKET ? 'lnd' : config.NWC_URL ? 'nwc' : 'simulated');
  const needed = { lnd: ['LND_SOCKET', 'LND_MACAROON'], nwc: ['NWC_URL'], simulated: [] } as const;
  const missing = needed[backend].find((name) => config[name] === undefined);
  if (missing) throw new ConfigError(`${missing} is required with LIGHTNING_BACKEND ${backend}`);
  if (config.LND_OLD_SOCKET && !config.LND_OLD_MACAROON) throw new ConfigError('LND_OLD_MACAROON is required with LND_OLD_SOCKET');
  return backend;
}

type SimulationConfig = Pick<Environment, 'ALLOW_SIMULATED' | 'NODE_ENV' | 'HOST' | ApiKeyVariable> &
  Pick<GatewayFile, 'deployments'> & { readonly LIGHTNING_BACKEND: LightningBackend };

/** Refuses to give away for play money what costs the operator real money, or what others could reach. */
export function refuseUnsafeSimulation(config: SimulationConfig): void {
  if (config.LIGHTNING_BACKEND !== 'simulated' || config.ALLOW_SIMULATED) return;
  const advice = 'configure a wallet, or set ALLOW_SIMULATED=true if play money is really what you want';
  if (config.NODE_ENV === 'production')
    throw new ConfigError(`LIGHTNING_BACKEND: the simulated wallet does not run with NODE_ENV=production; ${advice}`);
  if (!/^(localhost|127(\.\d+){3}|::1|\[::1\])$/.test(config.HOST))
    throw new ConfigError(`LIGHTNING_BACKEND: the simulated wallet listens on loopback only, not on HOST; ${advice}`);
  const paid = config.deployments.find(hasCredential);
  const costly = API_KEY_VARIABLES.find((name) => config[name] !== undefined) ?? (paid && `deployments.${paid.id}`);
  if (costly) throw new ConfigError(`LIGHTNING_BACKEND: the simulated wallet's play money would buy what ${costly} pays for; ${advice}`);
}

/** Whether a server may know by whom it is asked, and send a bill. Any header of its own can be a credential, and so can its URL's query. */
function hasCredential({ apiKey, apiKeyFile, headers, baseUrl }: DeploymentConfig): boolean {
  return apiKey !== undefined || apiKeyFile !== undefined || Object.keys(headers ?? {}).length > 0 || new URL(baseUrl).search !== '';
}
