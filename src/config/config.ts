import type { CapacityConfig } from './capacity-config.ts';
import { ConfigError } from './config-error.ts';
import { readEnvironment, type Environment } from './environment.ts';
import { readGatewayFile, type DeploymentConfig, type GatewayFile, type PricesConfig, type ReadGatewayFile } from './gateway-file.ts';
import { lightningBackend, refuseUnsafeSimulation, type LightningBackend } from './lightning-backend.ts';
import type { ModelsConfig } from './model-config.ts';
import { ownSecretKeys, parseSecretKeys, type RootSecret } from './secret-keys.ts';
import type { Locate } from './setting-problem.ts';

export type Config = Readonly<Omit<Environment, 'GATEWAY_CONFIG' | 'SECRET_KEY' | 'LIGHTNING_BACKEND'>> & {
  readonly LIGHTNING_BACKEND: LightningBackend;
  readonly deployments: readonly DeploymentConfig[];
  readonly aliases: Readonly<Record<string, string>>;
  /** Models that several deployments serve, by the id that clients ask for. */
  readonly models: Readonly<ModelsConfig>;
  readonly prices: Readonly<Record<string, PricesConfig>>;
  /** What the operator sets of public providers. */
  readonly providers: GatewayFile['providers'];
  /** Where a setting of the file stands; undefined where there is no file. */
  readonly locate?: Locate | undefined;
  /** Undefined where the operator says nothing of it: all providers are alike. */
  readonly capacity?: CapacityConfig | undefined;
  /** Newest first: the first one signs, all of them verify. Empty until `withSecretKey` where the operator gave none. */
  readonly secretKeys: readonly RootSecret[];
  /** MARKUP_PERCENT in hundredths of a per cent, an integer. */
  readonly markupBasisPoints: bigint;
};

/**
 * Reads the whole configuration from the environment and the files it names. The only reader of the environment.
 * Throws ConfigError that names the variable (never its value) when something is missing or malformed.
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const { GATEWAY_CONFIG, SECRET_KEY, ...rest } = readEnvironment(env);
  const file = readGatewayFile(GATEWAY_CONFIG);
  const LIGHTNING_BACKEND = lightningBackend(rest);
  refuseUnsafeSimulation({ ...rest, ...file, LIGHTNING_BACKEND });
  return {
    ...rest,
    LIGHTNING_BACKEND,
    ...file,
    secretKeys: SECRET_KEY ? parseSecretKeys(SECRET_KEY) : [],
    markupBasisPoints: BigInt(Math.round(rest.MARKUP_PERCENT * 100)),
  };
}

export interface ConfigSources {
  readonly environment: Environment;
  readonly content: ReadGatewayFile;
}

/** The environment and a gateway file, by default the one that the environment names: without what only a start asks of them. Throws ConfigError. */
export function readSources(file?: string, env: NodeJS.ProcessEnv = process.env): ConfigSources {
  const environment = readEnvironment(env);
  return { environment, content: readGatewayFile(file ?? environment.GATEWAY_CONFIG) };
}

/**
 * Completes a configuration without `SECRET_KEY`: with the embedded database a secret is made once and kept in
 * `dataDir`; with a database of the operator's own it is required, because several gateways must share it.
 */
export function withSecretKey(config: Config, dataDir: string): Config {
  if (config.secretKeys.length > 0) return config;
  if (config.DATABASE_URL)
    throw new ConfigError('SECRET_KEY is required with DATABASE_URL: 32 random bytes or more, e.g. `openssl rand -hex 32`');
  return { ...config, secretKeys: ownSecretKeys(dataDir) };
}
