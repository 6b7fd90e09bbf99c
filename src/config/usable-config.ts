import { ConfigError } from './config-error.ts';
import { loadConfig, readSources, type Config } from './config.ts';
import { deploymentApiKey, type DeploymentConfig } from './gateway-file.ts';

/** A configuration as far as it can be used, and why it cannot be used as it is. */
export interface UsableConfig {
  readonly config: Config;
  /** What is wrong, a sentence each; none where the gateway would start with it. */
  readonly refusals: readonly string[];
  /** SECRET_KEY as it was written: how it looks tells more than its bytes. */
  readonly secretKeyText: string | undefined;
}

/** A name at the beginning of a sentence about it. */
const NAMED = /^([A-Z][A-Z0-9_]+?)(?:_FILE)?\b/;
/** What stands between the refusals of one message: also several variables may be told of in one line. */
const REFUSALS = /\n|; (?=[A-Z][A-Z0-9_]+: )/;
/** What is left out in turn where a refusal names nothing that could be. */
const LAST_RESORTS: readonly NodeJS.ProcessEnv[] = [
  { ALLOW_SIMULATED: 'true' },
  { GATEWAY_CONFIG: undefined },
  { LIGHTNING_BACKEND: 'simulated', LND_SOCKET: undefined, LND_OLD_SOCKET: undefined, NWC_URL: undefined, NWC_URL_FILE: undefined },
];

/**
 * Reads a configuration that may be wrong: what is refused is left out, so that the rest can be looked at. No refusal has a value in it. Throws
 * ConfigError where nothing is left.
 */
export function usableConfig(env: NodeJS.ProcessEnv = process.env): UsableConfig {
  const refusals: string[] = [];
  const resorts = [...LAST_RESORTS];
  let rest = env;
  for (;;) {
    try {
      return {
        config: loadConfig(rest),
        refusals,
        secretKeyText: readSources(undefined, { ...rest, GATEWAY_CONFIG: '' }).environment.SECRET_KEY,
      };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const lines = error.message.split(REFUSALS);
      refusals.push(...lines.filter((line) => !refusals.includes(line)));
      const named = lines.flatMap((line) => NAMED.exec(line)?.[1] ?? []);
      const removable = Object.keys(rest).filter((name) => named.some((one) => name === one || name === `${one}_FILE`));
      const resort = removable.length > 0 ? Object.fromEntries(removable.map((name) => [name, undefined])) : resorts.shift();
      if (!resort) throw error;
      rest = Object.fromEntries(Object.entries({ ...rest, ...resort }).filter(([, value]) => value !== undefined));
    }
  }
}

/** Every secret that a configuration holds, in the forms in which it might be told. */
export function secretsOf(config: Config, secretKeyText: string | undefined): string[] {
  const { DATABASE_URL, NWC_URL, NWC_OLD_URL, LND_MACAROON, LND_OLD_MACAROON, ADMIN_TOKEN, OTEL_EXPORTER_OTLP_HEADERS, deployments } =
    config;
  const apiKeys = Object.entries(config)
    .filter(([name]) => name.endsWith('_API_KEY'))
    .map(([, value]) => value);
  const urls = [DATABASE_URL, NWC_URL, NWC_OLD_URL].filter((url) => url !== undefined);
  const found: unknown[] = [
    ...urls.flatMap((url) => [url, ...credentialsIn(url)]),
    ...[LND_MACAROON, LND_OLD_MACAROON].flatMap((macaroon) => [macaroon?.toString('hex'), macaroon?.toString('base64')]),
    ...(secretKeyText?.split(/[\s,]+/).flatMap((entry) => [entry, entry.slice(entry.indexOf(':') + 1)]) ?? []),
    ...ADMIN_TOKEN.map(({ token }) => token),
    ...Object.values(OTEL_EXPORTER_OTLP_HEADERS ?? {}),
    ...apiKeys,
    ...deployments.flatMap((entry) => [
      keyOf(entry),
      ...Object.values(entry.headers ?? {}),
      ...new URL(entry.baseUrl).searchParams.values(),
    ]),
  ];
  return found.filter((secret): secret is string => typeof secret === 'string' && secret !== '');
}

/** Of a deployment; undefined where its file cannot be read, which is told elsewhere. */
function keyOf(entry: DeploymentConfig): string | undefined {
  try {
    return deploymentApiKey(entry);
  } catch {
    return undefined;
  }
}

function credentialsIn(url: string): string[] {
  if (!URL.canParse(url)) return [];
  const { password, searchParams } = new URL(url);
  return [password, decodeURIComponent(password), searchParams.get('secret') ?? '', searchParams.get('password') ?? ''];
}
