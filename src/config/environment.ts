import { z } from 'zod';
import { exchangeRateFromBtcUsd, msat, picoUsdFromUsd } from '../amount.ts';
import { adminTokens } from './admin-tokens.ts';
import { ConfigError } from './config-error.ts';
import { readNamedFile } from './named-file.ts';
import { API_KEY_VARIABLES, providerVariables } from './public-providers.ts';
import { addressRange, bytes, decimal, describeProblems, flag, headers, httpUrl, integer, list, text, usd } from './value.ts';

/** Every variable the gateway reads. */
const variables = z.object({
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
  BYOK_FEE_MSAT: integer(0, 1_000_000)
    .default(0)
    .transform((fee) => msat(BigInt(fee))),
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
  ALLOW_HOST_CHANGE: flag.default(false),
  CONTACT: text.regex(/^(https?:\/\/\S+|[^\s@]+@[^\s@]+)$/, 'must be a mail address or a URL').optional(),
  BODY_LIMIT_MB: decimal(0.001, 256).default(10),
  DEFAULT_MAX_TOKENS: integer(1).default(4096),
  UPSTREAM_TIMEOUT_SECONDS: decimal(0.1, 86_400).default(120),
  STREAM_MAX_SECONDS: decimal(1, 86_400).default(3600),
  SHUTDOWN_GRACE_SECONDS: decimal(0, 3600).default(30),
  HOLD_LEASE_SECONDS: decimal(1, 3600).default(30),
  ...providerVariables,
  DEMO_PROVIDER: flag.default(false),
  GATEWAY_CONFIG: text.optional(),
  ADMIN_TOKEN: adminTokens.default([]),
  OTEL_EXPORTER_OTLP_ENDPOINT: httpUrl.optional(),
  OTEL_EXPORTER_OTLP_HEADERS: headers.optional(),
  OTEL_SERVICE_NAME: text.default('pura'),
  OTEL_TRACES_SAMPLER_ARG: decimal(0, 1).default(1),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  NODE_ENV: text.optional(),
});

/** In the order of the table in README.md. */
export const VARIABLE_NAMES = Object.keys(variables.shape);

export type Environment = z.infer<typeof variables>;

const SECRETS: readonly (keyof Environment)[] = [
  'DATABASE_URL',
  ...API_KEY_VARIABLES,
  'SECRET_KEY',
  'ADMIN_TOKEN',
  'OTEL_EXPORTER_OTLP_HEADERS',
  'LND_MACAROON',
  'LND_CERT',
  'NWC_URL',
  'LND_OLD_MACAROON',
  'LND_OLD_CERT',
  'NWC_OLD_URL',
];
/** Not text: given as hex or base64, their files as LND writes them or as either. */
const BINARY: ReadonlySet<string> = new Set(['LND_MACAROON', 'LND_CERT', 'LND_OLD_MACAROON', 'LND_OLD_CERT']);

/** Reads the variables, and the files that variables ending in _FILE name. Throws ConfigError. */
export function readEnvironment(env: NodeJS.ProcessEnv): Environment {
  refuseUnknown(env);
  const given = Object.fromEntries(Object.entries(env).filter(([name, value]) => name in variables.shape && value !== ''));
  for (const name of SECRETS) {
    const file = env[`${name}_FILE`];
    if (!file) continue;
    if (given[name]) throw new ConfigError(`${name} and ${name}_FILE are both set`);
    given[name] = BINARY.has(name) ? readBinary(`${name}_FILE`, file) : readNamedFile(`${name}_FILE`, file).trim();
  }
  const parsed = variables.safeParse(given);
  if (!parsed.success) throw new ConfigError(describeProblems(parsed.error));
  return parsed.data;
}

/** A file's bytes as hex; a file that itself holds hex or base64 as it is. */
function readBinary(name: string, file: string): string {
  const content = readNamedFile(name, file, { encoding: 'latin1' });
  return content.trim() === '' || bytes.safeParse(content).success ? content : Buffer.from(content, 'latin1').toString('hex');
}

/** The names whose misspelling would make play money of real money. */
const OURS = /^(LND|NWC|PURA)_/;
/** What Kubernetes sets for a service that is called like one of ours. */
const SERVICE_LINK = /_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?$/;

/** Refuses variables that look like ours and are none: the default for what was meant is not what was meant. */
function refuseUnknown(env: NodeJS.ProcessEnv): void {
  const known = (name: string) => name in variables.shape || SECRETS.some((secret) => name === `${secret}_FILE`);
  const linked = (name: string, value = '') => SERVICE_LINK.test(name) || (name.endsWith('_PORT') && /^(tcp|udp):/.test(value));
  const unknown = Object.keys(env).filter((name) => OURS.test(name) && !known(name) && !linked(name, env[name]));
  if (unknown.length > 0) throw new ConfigError(`${unknown.join(', ')}: there is no such variable; README.md lists them all`);
}
