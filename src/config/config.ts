import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { exchangeRateFromBtcUsd, LARGEST_COST, picoUsdFromUsd } from '../amount.ts';

/** A configuration that cannot be used; the message names the variable and never carries its value. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

const text = z.string().trim().min(1);
const integer = (lowest: number, highest = Number.MAX_SAFE_INTEGER) =>
  z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.number().min(lowest).max(highest));
const decimal = (lowest: number, highest: number) =>
  z
    .string()
    .regex(/^\d+(\.\d+)?$/, 'must be a decimal number')
    .transform(Number)
    .pipe(z.number().min(lowest).max(highest));
const usd = z
  .string()
  .regex(/^\d{1,9}(\.\d{1,12})?$/, 'must be an amount in USD')
  .transform(picoUsdFromUsd)
  .refine((amount) => amount <= LARGEST_COST, 'must be 1000000 or less');
const flag = z.enum(['true', 'false', '1', '0', '']).transform((value) => value === 'true' || value === '1');
const list = z.string().transform((value) =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean),
);
/** What a file holds, in hex or base64; a certificate as it is. */
const bytes = text.regex(/^-----BEGIN|^[A-Za-z0-9+/_\s-]+={0,2}$/, 'must be hex or base64').transform(decodeBytes);
const httpUrl = z.url({ protocol: /^https?$/ }).transform((value) => value.replace(/\/+$/, ''));

const addressRange = list.refine(
  (ranges) => ranges.every((range) => isIP(range.split('/')[0] ?? '') !== 0 || ['loopback', 'linklocal', 'uniquelocal'].includes(range)),
  'must be a list of addresses, CIDR ranges, or loopback, linklocal, uniquelocal',
);

/** Far above any model's context, output or image. */
const MOST_TOKENS = 1_000_000_000;
const tokens = z.int().min(1).max(MOST_TOKENS);

/** USD per million tokens: a dollar a token at most. */
const price = z.number().min(0).max(1_000_000);
const prices = z.strictObject({ input: price, output: price, cacheRead: price.optional(), cacheWrite: price.optional() });

/** The operator's YAML file, `GATEWAY_CONFIG`. */
const gatewayFile = z.strictObject({
  deployments: z
    .array(
      z.strictObject({
        id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, 'may hold letters, digits and . _ : / -'),
        baseUrl: httpUrl,
        apiKey: text.optional(),
        apiKeyFile: text.optional(),
        model: text.optional(),
        prices,
        tier: z.enum(['cheap', 'mid', 'premium']).default('cheap'),
        contextWindow: tokens.default(8192),
        maxOutputTokens: tokens.default(4096),
        capField: z.enum(['max_tokens', 'max_completion_tokens']).default('max_tokens'),
        imageTokens: tokens.optional(),
        remoteImages: z.boolean().default(false),
        allowParameters: z.array(text).default([]),
      }),
    )
    .default([]),
  /** Replaces the catalogue's prices of a model, or prices one that it does not know. */
  prices: z.record(z.string(), prices).default({}),
});

export type DeploymentConfig = z.infer<typeof gatewayFile>['deployments'][number];
export type PricesConfig = z.infer<typeof prices>;

/** Every variable the gateway reads. */
const environment = z.object({
  PORT: integer(0, 65535).default(8402),
  HOST: text.default('127.0.0.1'),
  PUBLIC_URL: httpUrl.optional(),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  DATA_DIR: text.optional(),
  SECRET_KEY: text.optional(),
  LIGHTNING_BACKEND: z.enum(['lnd', 'nwc', 'simulated']).optional(),
  LND_SOCKET: text.regex(/^(\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}$/i, 'must be host:port').optional(),
  LND_MACAROON: bytes.optional(),
  LND_CERT: bytes.optional(),
  LND_PRIVATE_HINTS: flag.default(false),
  NWC_URL: text.regex(/^nostr\+walletconnect:/, 'must begin with nostr+walletconnect:').optional(),
  LND_OLD_SOCKET: text.regex(/^(\[[0-9a-f:]+\]|[\w.-]+):\d{1,5}$/i, 'must be host:port').optional(),
  LND_OLD_MACAROON: bytes.optional(),
  LND_OLD_CERT: bytes.optional(),
  NWC_OLD_URL: text.regex(/^nostr\+walletconnect:/, 'must begin with nostr+walletconnect:').optional(),
  ALLOW_SIMULATED: flag.default(false),
  BTC_USD: decimal(1, 1e9).transform(exchangeRateFromBtcUsd).optional(),
  BTC_USD_SOURCES: list.default([]),
  BTC_USD_MAX_AGE_SECONDS: decimal(1, 86_400).default(600),
  FREE_TIER_REQUESTS: integer(0, 1_000_000_000).default(5000),
  FREE_TIER_MAX_COST_USD: usd.default(picoUsdFromUsd('0.10')),
  FREE_TIER_GLOBAL_DAILY_USD: usd.default(picoUsdFromUsd('100')),
  DAILY_BUDGET_USD: usd.default(picoUsdFromUsd('10')),
  MARKUP_PERCENT: decimal(0, 1000).default(0),
  TOPUP_DEFAULT_SATS: integer(1, 1_000_000).default(1000),
  INVOICE_EXPIRY_SECONDS: integer(60, 604_800).default(3600),
  L402_TOKEN_DAYS: integer(1, 36_500).optional(),
  WITHDRAWALS: flag.default(false),
  WITHDRAW_MAX_FEE_PERCENT: decimal(0, 100).default(1),
  RATE_LIMIT_RPM: integer(1).default(300),
  RATE_LIMIT_TPM: integer(1).default(1_000_000),
  OPEN_STREAMS_PER_ACCOUNT: integer(1).default(256),
  KEYS_PER_IP_PER_HOUR: integer(0).default(5),
  KEYLESS_INVOICES_PER_IP_PER_HOUR: integer(0).default(60),
  TRUSTED_PROXIES: addressRange.default([]),
  CORS_ORIGINS: list.default(['*']),
  BODY_LIMIT_MB: decimal(0.001, 256).default(10),
  DEFAULT_MAX_TOKENS: integer(1).default(4096),
  UPSTREAM_TIMEOUT_SECONDS: decimal(0.1, 86_400).default(120),
  STREAM_MAX_SECONDS: decimal(1, 86_400).default(3600),
  SHUTDOWN_GRACE_SECONDS: decimal(0, 3600).default(30),
  HOLD_LEASE_SECONDS: decimal(1, 3600).default(30),
  OPENAI_API_KEY: text.optional(),
  OPENAI_BASE_URL: httpUrl.default('https://api.openai.com/v1'),
  DEMO_PROVIDER: flag.default(false),
  GATEWAY_CONFIG: text.optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  NODE_ENV: text.optional(),
});
/** In the order of the table in README.md. */
export const VARIABLE_NAMES = Object.keys(environment.shape);

/** A root secret of the gateway. Purposes are derived from it; what is stored names its id. */
export interface RootSecret {
  readonly id: string;
  readonly secret: Buffer;
}

export type Config = Readonly<Omit<z.infer<typeof environment>, 'GATEWAY_CONFIG' | 'SECRET_KEY' | 'LIGHTNING_BACKEND'>> & {
  readonly LIGHTNING_BACKEND: 'lnd' | 'nwc' | 'simulated';
  readonly deployments: readonly DeploymentConfig[];
  readonly prices: Readonly<Record<string, PricesConfig>>;
  /** Newest first: the first one signs, all of them verify. Empty until `withSecretKey` where the operator gave none. */
  readonly secretKeys: readonly RootSecret[];
  /** MARKUP_PERCENT in hundredths of a per cent, an integer. */
  readonly markupBasisPoints: bigint;
};

const SECRETS = [
  'DATABASE_URL',
  'OPENAI_API_KEY',
  'SECRET_KEY',
  'LND_MACAROON',
  'LND_CERT',
  'NWC_URL',
  'LND_OLD_MACAROON',
  'LND_OLD_CERT',
  'NWC_OLD_URL',
] as const;
/** Not text: given as hex or base64, their files as LND writes them or as either. */
const BINARY: ReadonlySet<string> = new Set(['LND_MACAROON', 'LND_CERT', 'LND_OLD_MACAROON', 'LND_OLD_CERT']);
const MIN_SECRET_BYTES = 32;

/**
 * Reads the whole configuration from the environment and the files it names. The only reader of the environment.
 * Throws ConfigError that names the variable (never its value) when something is missing or malformed.
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  refuseUnknown(env);
  const given = Object.fromEntries(Object.entries(env).filter(([name, value]) => name in environment.shape && value !== ''));
  for (const name of SECRETS) {
    const file = env[`${name}_FILE`];
    if (!file) continue;
    if (given[name]) throw new ConfigError(`${name} and ${name}_FILE are both set`);
    given[name] = BINARY.has(name) ? readBinary(`${name}_FILE`, file) : readNamed(`${name}_FILE`, file).trim();
  }
  const parsed = environment.safeParse(given);
  if (!parsed.success) throw new ConfigError(describe(parsed.error));
  const { GATEWAY_CONFIG, SECRET_KEY, ...rest } = parsed.data;
  const file = GATEWAY_CONFIG ? readGatewayFile(GATEWAY_CONFIG) : gatewayFile.parse({});
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

/**
 * Completes a configuration without `SECRET_KEY`: with the embedded database a secret is made once and kept in
 * `dataDir`; with a database of the operator's own it is required, because several gateways must share it.
 */
export function withSecretKey(config: Config, dataDir: string): Config {
  if (config.secretKeys.length > 0) return config;
  if (config.DATABASE_URL)
    throw new ConfigError('SECRET_KEY is required with DATABASE_URL: 32 random bytes or more, e.g. `openssl rand -hex 32`');
  const file = path.join(dataDir, 'secret-key');
  if (!existsSync(file)) {
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(file, randomBytes(32).toString('hex'), { mode: 0o600, flag: 'wx' });
  }
  chmodSync(file, 0o600);
  return { ...config, secretKeys: parseSecretKeys(readFileSync(file, 'utf8').trim()) };
}

/** The token of the operator's own model server, from its entry or the file it names. */
export function deploymentApiKey(deployment: DeploymentConfig): string | undefined {
  return deployment.apiKeyFile ? readNamed(`deployments.${deployment.id}.apiKeyFile`, deployment.apiKeyFile).trim() : deployment.apiKey;
}

function parseSecretKeys(value: string): RootSecret[] {
  const keys = value.split(/[\s,]+/).map((entry) => {
    const separator = entry.indexOf(':');
    const id = separator < 0 ? '0' : entry.slice(0, separator);
    return { id, secret: decodeSecret(entry.slice(separator + 1)) };
  });
  if (keys.some(({ id }) => !/^(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$/.test(id)))
    throw new ConfigError('SECRET_KEY: an id must be a number from 0 to 255');
  if (new Set(keys.map(({ id }) => id)).size < keys.length) throw new ConfigError('SECRET_KEY: two secrets have the same id');
  if (keys.some(({ secret }) => secret.length < MIN_SECRET_BYTES))
    throw new ConfigError(`SECRET_KEY: a secret needs ${MIN_SECRET_BYTES} random bytes or more, e.g. \`openssl rand -hex 32\``);
  return keys;
}

/** Hex where it is hex, else base64, else the characters themselves: the shortest reading counts, so none is over-credited. */
function decodeSecret(value: string): Buffer {
  if (/^([0-9a-f]{2})+$/i.test(value)) return Buffer.from(value, 'hex');
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(value) ? Buffer.from(value, 'base64') : Buffer.from(value);
}

/** The backend named, else the one whose variables are set. Throws ConfigError where it lacks some. */
function lightningBackend(config: {
  LIGHTNING_BACKEND?: Config['LIGHTNING_BACKEND'];
  LND_SOCKET?: string;
  LND_MACAROON?: Buffer;
  LND_OLD_SOCKET?: string | undefined;
  LND_OLD_MACAROON?: Buffer | undefined;
  NWC_URL?: string;
}): Config['LIGHTNING_BACKEND'] {
  const backend = config.LIGHTNING_BACKEND ?? (config.LND_SOCKET ? 'lnd' : config.NWC_URL ? 'nwc' : 'simulated');
  const needed = { lnd: ['LND_SOCKET', 'LND_MACAROON'], nwc: ['NWC_URL'], simulated: [] } as const;
  const missing = needed[backend].find((name) => config[name] === undefined);
  if (missing) throw new ConfigError(`${missing} is required with LIGHTNING_BACKEND ${backend}`);
  if (config.LND_OLD_SOCKET && !config.LND_OLD_MACAROON) throw new ConfigError('LND_OLD_MACAROON is required with LND_OLD_SOCKET');
  return backend;
}

/** Hex where it is hex, else base64 of either alphabet, but for a PEM file's own text. */
function decodeBytes(value: string): Buffer {
  if (value.startsWith('-----BEGIN')) return Buffer.from(value);
  const packed = value.replace(/\s+/g, '');
  return Buffer.from(packed, /^[0-9a-f]+$/i.test(packed) ? 'hex' : 'base64');
}

/** A file's bytes as hex; a file that itself holds hex or base64 as it is. */
function readBinary(name: string, file: string): string {
  const content = readNamed(name, file, 'latin1');
  return content.trim() === '' || bytes.safeParse(content).success ? content : Buffer.from(content, 'latin1').toString('hex');
}

/** The names whose misspelling would make play money of real money. */
const OURS = /^(LND|NWC|PURA)_/;
/** What Kubernetes sets for a service that is called like one of ours. */
const SERVICE_LINK = /_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?$/;

/** Refuses variables that look like ours and are none: the default for what was meant is not what was meant. */
function refuseUnknown(env: NodeJS.ProcessEnv): void {
  const known = (name: string) => name in environment.shape || SECRETS.some((secret) => name === `${secret}_FILE`);
  const linked = (name: string, value = '') => SERVICE_LINK.test(name) || (name.endsWith('_PORT') && /^(tcp|udp):/.test(value));
  const unknown = Object.keys(env).filter((name) => OURS.test(name) && !known(name) && !linked(name, env[name]));
  if (unknown.length > 0) throw new ConfigError(`${unknown.join(', ')}: there is no such variable; README.md lists them all`);
}

type SimulationConfig = Pick<Config, 'LIGHTNING_BACKEND' | 'ALLOW_SIMULATED' | 'NODE_ENV' | 'HOST' | 'OPENAI_API_KEY' | 'deployments'>;

/** Refuses to give away for play money what costs the operator real money, or what others could reach. */
function refuseUnsafeSimulation(config: SimulationConfig): void {
  if (config.LIGHTNING_BACKEND !== 'simulated' || config.ALLOW_SIMULATED) return;
  const advice = 'configure a wallet, or set ALLOW_SIMULATED=true if play money is really what you want';
  if (config.NODE_ENV === 'production')
    throw new ConfigError(`LIGHTNING_BACKEND: the simulated wallet does not run with NODE_ENV=production; ${advice}`);
  if (!/^(localhost|127(\.\d+){3}|::1|\[::1\])$/.test(config.HOST))
    throw new ConfigError(`LIGHTNING_BACKEND: the simulated wallet listens on loopback only, not on HOST; ${advice}`);
  const paid = config.deployments.find(({ apiKey, apiKeyFile }) => apiKey !== undefined || apiKeyFile !== undefined);
  const costly = config.OPENAI_API_KEY === undefined ? paid && `deployments.${paid.id}` : 'OPENAI_API_KEY';
  if (costly) throw new ConfigError(`LIGHTNING_BACKEND: the simulated wallet's play money would buy what ${costly} pays for; ${advice}`);
}

function readGatewayFile(file: string): z.infer<typeof gatewayFile> {
  let content: unknown;
  try {
    content = parseYaml(readNamed('GATEWAY_CONFIG', file)) ?? {};
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError(`GATEWAY_CONFIG: not valid YAML: ${(error as Error).message}`);
  }
  const parsed = gatewayFile.safeParse(content);
  if (!parsed.success) throw new ConfigError(`GATEWAY_CONFIG: ${describe(parsed.error)}`);
  const ids = parsed.data.deployments.map(({ id }) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) < index);
  if (twice !== undefined) throw new ConfigError(`GATEWAY_CONFIG: deployments: the id ${twice} is used twice`);
  return parsed.data;
}

function readNamed(name: string, file: string, encoding: 'utf8' | 'latin1' = 'utf8'): string {
  try {
    return readFileSync(file, encoding);
  } catch (error) {
    throw new ConfigError(`${name}: cannot read the file: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** The issues of a failed parse by name, without any value: a misplaced secret must not reach a log. */
function describe(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
}
