import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig, withSecretKey } from '../../src/config/config.ts';
import { ConfigError } from '../../src/config/config-error.ts';
import { VARIABLE_NAMES } from '../../src/config/environment.ts';
import { operationOf, wiresOf } from '../../src/config/deployment-config.ts';
import { deploymentApiKey } from '../../src/config/gateway-file.ts';
import { API_KEY_VARIABLES, apiKeyVariable, baseUrlVariable, PUBLIC_PROVIDERS } from '../../src/config/public-providers.ts';
import { exchangeRateFromBtcUsd, picoUsdFromUsd } from '../../src/amount.ts';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'pura-config-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function file(name: string, content: string): string {
  const written = path.join(directory, name);
  writeFileSync(written, content);
  return written;
}

/** Refused, by a sentence that names what is wrong and never its value. */
function expectRefused(env: NodeJS.ProcessEnv, named: string): void {
  const load = () => loadConfig(env);
  expect(load).toThrow(ConfigError);
  expect(load).toThrow(named);
  expect(load).not.toThrow(/canary/);
}

const deployment = (lines: string, baseUrl = 'http://127.0.0.1:1/v1') =>
  file('gateway.yaml', `deployments:\n  - { id: own, baseUrl: "${baseUrl}", prices: { input: 1, output: 1 }${lines} }\n`);

describe('play money', () => {
  it.each<[string, NodeJS.ProcessEnv]>([
    ...API_KEY_VARIABLES.map((name): [string, NodeJS.ProcessEnv] => [name, { [name]: 'sk-canary' }]),
    ['HOST', { HOST: '0.0.0.0' }],
    ['HOST', { HOST: '127.0.0.1.example.org' }],
    ['HOST', { HOST: 'localhost.example.org' }],
    ['HOST', { HOST: '10.127.0.0.1' }],
    ['HOST', { HOST: '::' }],
    ['NODE_ENV', { NODE_ENV: 'production' }],
  ])('does not start with %s: %o; it does where that is allowed, or with a wallet', (named, env) => {
    expectRefused(env, named);
    expect(loadConfig({ ...env, ALLOW_SIMULATED: 'true' }).LIGHTNING_BACKEND).toBe('simulated');
    expect(loadConfig({ ...env, NWC_URL: 'nostr+walletconnect://x' }).LIGHTNING_BACKEND).toBe('nwc');
  });

  it.each([', apiKey: canary', ', apiKeyFile: /canary', ', headers: { api-key: canary }'])(
    'does not start beside a model server that takes a credential%s',
    (credential) => {
      const GATEWAY_CONFIG = deployment(credential);
      expectRefused({ GATEWAY_CONFIG }, 'deployments.own');
      expect(loadConfig({ GATEWAY_CONFIG, ALLOW_SIMULATED: '1' }).deployments).toHaveLength(1);
    },
  );

  it('does not start beside a model server whose URL may hold a credential', () => {
    expectRefused({ GATEWAY_CONFIG: deployment('', 'http://127.0.0.1:1/v1?key=canary') }, 'deployments.own');
  });

  it.each(['127.0.0.1', '127.1.2.3', 'localhost', '::1', '[::1]'])('starts on %s, beside a model server that costs nothing', (HOST) => {
    expect(loadConfig({ HOST, GATEWAY_CONFIG: deployment('') })).toMatchObject({ HOST, LIGHTNING_BACKEND: 'simulated' });
  });
});

describe('a variable that there is not', () => {
  it.each([
    'LND_SOKET',
    'LND_MACAROON_PATH',
    'LND_SOCKET_FILE',
    'LND_HOST',
    'LND_PORT',
    'NWC_URI',
    'NWC_URL_',
    'PURA_PORT',
    'PURA_API_KEY',
  ])('stops the start by its name, where it looks like one of ours: %s', (name) => expectRefused({ [name]: 'canary' }, name));

  it('is named with all the others', () => {
    expectRefused({ LND_SOKET: 'canary', NWC_URI: 'canary', PORT: '80' }, 'LND_SOKET, NWC_URI');
  });

  it.each(['LIGHTNING', 'LNDSOCKET', 'PATH', 'OPENAI_ORG', 'lnd_socket'])(
    'is nobody’s business, where it is another program’s: %s',
    (name) => {
      expect(() => loadConfig({ [name]: 'x' })).not.toThrow();
    },
  );

  it('is let pass where Kubernetes set it for a service of that name', () => {
    const links = {
      LND_SERVICE_HOST: '10.0.0.7',
      LND_SERVICE_PORT: '10009',
      LND_SERVICE_PORT_GRPC: '10009',
      LND_PORT: 'tcp://10.0.0.7:10009',
      LND_PORT_10009_TCP: 'tcp://10.0.0.7:10009',
      LND_PORT_10009_TCP_ADDR: '10.0.0.7',
      PURA_PORT: 'tcp://10.0.0.8:80',
    };
    expect(() => loadConfig(links)).not.toThrow();
  });
});

const usd = picoUsdFromUsd;

type VariableRow = [name: string, byDefault: unknown, taken: [string, unknown][], refused: string[]];

/** What each variable is by default, some of what it may be, and what is refused by its name. Numbers have a table of their own. */
const VARIABLES: VariableRow[] = [
  [
    'PORT',
    8402,
    [
      ['0', 0],
      ['65535', 65_535],
    ],
    ['65536', '-1', 'http', ' 80', '8402.5'],
  ],
  [
    'HOST',
    '127.0.0.1',
    [
      ['localhost', 'localhost'],
      [' ::1 ', '::1'],
    ],
    [' '],
  ],
  [
    'PUBLIC_URL',
    undefined,
    [
      ['https://pura.example/', 'https://pura.example'],
      ['http://h:1/p//', 'http://h:1/p'],
    ],
    ['pura.example', 'ftp://canary', 'canary'],
  ],
  [
    'DATABASE_URL',
    undefined,
    [
      ['postgres://u@h/d', 'postgres://u@h/d'],
      ['postgresql://h/d', 'postgresql://h/d'],
    ],
    ['mysql://canary', 'canary', 'http://canary'],
  ],
  [
    'DATA_DIR',
    undefined,
    [
      ['/var/lib/pura', '/var/lib/pura'],
      [' ./data ', './data'],
    ],
    [' '],
  ],
  ['LIGHTNING_BACKEND', 'simulated', [['simulated', 'simulated']], ['LND', 'canary', 'simulated ']],
  [
    'LND_SOCKET',
    undefined,
    [
      ['127.0.0.1:10009', '127.0.0.1:10009'],
      ['[::1]:1', '[::1]:1'],
    ],
    ['canary', 'canary:', 'canary:123456', '::1:1'],
  ],
  [
    'LND_PRIVATE_HINTS',
    false,
    [
      ['true', true],
      ['1', true],
      ['false', false],
      ['0', false],
      ['', false],
    ],
    ['yes', 'TRUE', '2', 'canary', ' true'],
  ],
  [
    'ALLOW_HOST_CHANGE',
    false,
    [
      ['true', true],
      ['1', true],
      ['false', false],
      ['0', false],
      ['', false],
    ],
    ['yes', 'TRUE', '2', 'canary', ' true'],
  ],
  [
    'ALLOW_SIMULATED',
    false,
    [
      ['true', true],
      ['1', true],
      ['false', false],
      ['0', false],
      ['', false],
    ],
    ['yes', 'TRUE', '2', 'canary', ' true'],
  ],
  [
    'WITHDRAWALS',
    false,
    [
      ['true', true],
      ['1', true],
      ['false', false],
      ['0', false],
      ['', false],
    ],
    ['yes', 'TRUE', '2', 'canary', ' true'],
  ],
  [
    'DEMO_PROVIDER',
    false,
    [
      ['true', true],
      ['1', true],
      ['false', false],
      ['0', false],
      ['', false],
    ],
    ['yes', 'TRUE', '2', 'canary', ' true'],
  ],
  ['LND_OLD_SOCKET', undefined, [['127.0.0.1:10009', '127.0.0.1:10009']], ['canary', 'canary:']],
  ['NWC_OLD_URL', undefined, [['nostr+walletconnect://x', 'nostr+walletconnect://x']], ['https://canary', 'canary']],
  ['NWC_URL', undefined, [[' nostr+walletconnect://x ', 'nostr+walletconnect://x']], ['https://canary', 'canary']],
  [
    'TRUSTED_PROXIES',
    [],
    [
      ['10.0.0.0/8, ::1,loopback', ['10.0.0.0/8', '::1', 'loopback']],
      [' , ', []],
    ],
    ['canary', '10.0.0.0/8,canary', '1.2.3'],
  ],
  [
    'CORS_ORIGINS',
    ['*'],
    [
      ['https://a, https://b', ['https://a', 'https://b']],
      [',', []],
    ],
    [],
  ],
  [
    'CONTACT',
    undefined,
    [
      [' help@pura.example ', 'help@pura.example'],
      ['https://pura.example/help', 'https://pura.example/help'],
    ],
    ['canary', 'javascript:canary', ' '],
  ],
  ['BTC_USD_SOURCES', [], [['kraken, coinbase', ['kraken', 'coinbase']]], []],
  ...PUBLIC_PROVIDERS.flatMap((provider): VariableRow[] => [
    [apiKeyVariable(provider), undefined, [[' sk-x\n', 'sk-x']], [' ']],
    [
      baseUrlVariable(provider),
      undefined,
      [
        ['http://127.0.0.1:1/v1/', 'http://127.0.0.1:1/v1'],
        ['https://h/v1?version=2', 'https://h/v1?version=2'],
      ],
      ['canary', 'file:///canary', 'https://u:canary@h/v1'],
    ],
  ]),
  [
    'LOG_LEVEL',
    'info',
    [
      ['trace', 'trace'],
      ['silent', 'silent'],
    ],
    ['canary', 'INFO', 'info '],
  ],
  ['NODE_ENV', undefined, [['development', 'development']], [' ']],
  [
    'ADMIN_TOKEN',
    [],
    [
      ['0123456789abcdef', [{ name: 'admin', token: '0123456789abcdef' }]],
      [
        'ann:canary-0123456789, bo.b:canary:0123456789\n',
        [
          { name: 'ann', token: 'canary-0123456789' },
          { name: 'bo.b', token: 'canary:0123456789' },
        ],
      ],
    ],
    [
      ' ',
      'canary',
      'canary-01234567',
      'a:canary',
      ':canary-0123456789',
      'a b:canary-0123456789',
      'a:canary 0123456789',
      'a:canary-0123456789é',
      'a:canary-0123456789,',
      'a:canary-0123456789,a:canary-9876543210',
      'a:canary-0123456789,b:canary-0123456789',
    ],
  ],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', undefined, [['http://127.0.0.1:4318/', 'http://127.0.0.1:4318']], ['canary', 'grpc://canary']],
  [
    'OTEL_EXPORTER_OTLP_HEADERS',
    undefined,
    [['api-key=x,tenant=a%20b', { 'api-key': 'x', tenant: 'a b' }]],
    [' ', 'canary', 'a=canary,=canary', 'a b=canary', 'a=%canary', 'a=canary%0d%0a'],
  ],
  ['OTEL_SERVICE_NAME', 'pura', [['pura-eu', 'pura-eu']], [' ']],
];

/** The same for numbers: by default, one that is taken, and what is not a number of that kind. What they bound is in config-extremes.test.ts. */
const NUMBERS: [name: string, byDefault: unknown, taken: string, as: unknown, refused: string[]][] = [
  ['FREE_TIER_REQUESTS', 5000, '7', 7, ['7.5']],
  ['FREE_TIER_MAX_COST_USD', usd('0.10'), '0.000000000001', usd('0.000000000001'), ['0.0000000000001', '$1', '1.']],
  ['FREE_TIER_GLOBAL_DAILY_USD', usd('100'), '0', usd('0'), ['.5']],
  ['DAILY_BUDGET_USD', usd('10'), '2.5', usd('2.5'), ['2,5']],
  ['KEYS_PER_IP_PER_HOUR', 5, '0', 0, ['0.5']],
  ['KEYLESS_INVOICES_PER_IP_PER_HOUR', 60, '0', 0, ['0.5']],
  ['BODY_LIMIT_MB', 10, '0.5', 0.5, ['0.5MB']],
  ['DEFAULT_MAX_TOKENS', 4096, '256', 256, ['256.5']],
  ['UPSTREAM_TIMEOUT_SECONDS', 120, '0.5', 0.5, ['2m']],
  ['STREAM_MAX_SECONDS', 3600, '60', 60, ['1h']],
  ['SHUTDOWN_GRACE_SECONDS', 30, '0', 0, ['-0']],
  ['HOLD_LEASE_SECONDS', 30, '2.5', 2.5, ['30s']],
  ['INVOICE_EXPIRY_SECONDS', 3600, '60', 60, ['60.5']],
  ['L402_TOKEN_DAYS', undefined, '30', 30, ['1.5']],
  ['WITHDRAW_MAX_FEE_PERCENT', 1, '0.5', 0.5, ['1%']],
  ['TOPUP_DEFAULT_SATS', 1000, '21', 21, ['21.5']],
  ['RATE_LIMIT_RPM', 300, '1', 1, ['1.5']],
  ['RATE_LIMIT_TPM', 1_000_000, '1', 1, ['1.5']],
  ['OPEN_STREAMS_PER_ACCOUNT', 256, '1', 1, ['1.5']],
  ['BTC_USD', undefined, '64000.5', exchangeRateFromBtcUsd(64_000.5), ['64,000', '64e3']],
  ['BTC_USD_MAX_AGE_SECONDS', 600, '1.5', 1.5, ['10m']],
  ['MARKUP_PERCENT', 0, '12.5', 12.5, ['12.5%']],
  ['OTEL_TRACES_SAMPLER_ARG', 1, '0.05', 0.05, ['5%']],
  ['BYOK_FEE_MSAT', 0n, '1500', 1500n, ['1.5']],
];
/** What has tests of its own, here or in config-lightning.test.ts. */
const BY_THEMSELVES = ['LND_MACAROON', 'LND_CERT', 'LND_OLD_MACAROON', 'LND_OLD_CERT', 'GATEWAY_CONFIG', 'SECRET_KEY'];

/** What is needed beside a variable for it to be taken. */
const COMPANY: Record<string, NodeJS.ProcessEnv> = {
  LND_SOCKET: { LND_MACAROON: '00' },
  LND_OLD_SOCKET: { LND_OLD_MACAROON: '00' },
  ...Object.fromEntries(API_KEY_VARIABLES.map((name) => [name, { ALLOW_SIMULATED: 'true' }])),
};
const valueOf = (name: string, value?: string): unknown =>
  (loadConfig({ ...COMPANY[name], ...(value !== undefined && { [name]: value }) }) as unknown as Record<string, unknown>)[name];

describe('a variable', () => {
  it('is in the table of README.md', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const cells = [...readme.matchAll(/^\| (`[A-Z][A-Z_0-9]+`[^|]*)\|/gm)].map(([, cell = '']) => cell);
    expect(cells.flatMap((cell) => cell.match(/[A-Z][A-Z_0-9]+/g) ?? [])).toEqual(VARIABLE_NAMES);
  });

  it('is in a table here', () => {
    const tested = [...VARIABLES, ...NUMBERS].map(([name]) => name).concat(BY_THEMSELVES);
    expect(tested.toSorted()).toEqual(VARIABLE_NAMES.toSorted());
  });

  it.each([...VARIABLES.map(([name, byDefault]) => [name, byDefault]), ...NUMBERS.map(([name, byDefault]) => [name, byDefault])])(
    '%s is %p where it is not set, and where it is set to nothing',
    (name, byDefault) => {
      const { [String(name)]: company = {} } = COMPANY;
      const read = (env: NodeJS.ProcessEnv) =>
        (loadConfig({ ...(String(name).endsWith('_SOCKET') ? {} : company), ...env }) as never)[String(name)];
      expect(read({})).toEqual(byDefault);
      expect(read({ [String(name)]: '' })).toEqual(byDefault);
    },
  );

  it.each(VARIABLES.flatMap(([name, , taken]) => taken.map(([given, as]): [string, string, unknown] => [name, given, as])))(
    '%s=%j is taken as %p',
    (name, given, as) => expect(valueOf(name, given)).toEqual(as),
  );

  it.each(NUMBERS.map(([name, , taken, as]): [string, string, unknown] => [name, taken, as]))('%s=%s is taken as %p', (name, given, as) =>
    expect(valueOf(name, given)).toEqual(as),
  );

  it.each([
    ...VARIABLES.flatMap(([name, , , refused]) => refused.map((given): [string, string] => [name, given])),
    ...NUMBERS.flatMap(([name, , , , refused]) => refused.map((given): [string, string] => [name, given])),
  ])('%s=%j stops the start by its name, and its value is not told', (name, given) =>
    expectRefused({ ...COMPANY[name], [name]: given }, `${name}: `),
  );
});

describe('a secret in a file', () => {
  type SecretRow = [name: string, value: string, company: NodeJS.ProcessEnv];
  const SECRETS: SecretRow[] = [
    ['DATABASE_URL', 'postgres://u:p@h/d', {}],
    ...API_KEY_VARIABLES.map((name): SecretRow => [name, 'sk-x', { ALLOW_SIMULATED: 'true' }]),
    ['SECRET_KEY', 'ab'.repeat(32), {}],
    ['ADMIN_TOKEN', 'ann:0123456789abcdef,bob:fedcba9876543210', {}],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'api-key=x', {}],
    ['NWC_URL', 'nostr+walletconnect://x', {}],
    ['LND_MACAROON', 'abcd', { LND_SOCKET: 'h:1' }],
    ['LND_CERT', 'abcd', { LND_SOCKET: 'h:1', LND_MACAROON: '00' }],
  ];

  it.each(SECRETS)('%s_FILE is read like the variable, without the white space around it', (name, value, company) => {
    const direct = loadConfig({ ...company, [name]: value });
    expect(loadConfig({ ...company, [`${name}_FILE`]: file('secret', `\n ${value}\t\n`) })).toEqual(direct);
  });

  it.each(SECRETS)('%s is not taken from two places, from none, or from nothing', (name, value, company) => {
    expectRefused({ ...company, [name]: 'canary', [`${name}_FILE`]: file('secret', value) }, `${name} and ${name}_FILE are both set`);
    expectRefused({ ...company, [`${name}_FILE`]: path.join(directory, 'nowhere') }, `${name}_FILE: cannot read the file: ENOENT`);
    expectRefused({ ...company, [`${name}_FILE`]: directory }, `${name}_FILE: cannot read the file: EISDIR`);
    expect(() => loadConfig({ ...company, [`${name}_FILE`]: file('secret', ' \n') })).toThrow(name);
  });

  it('also holds a model server’s own token', () => {
    const GATEWAY_CONFIG = deployment(`, apiKeyFile: ${file('token', ' sk-own\n')}`);
    const [own] = loadConfig({ GATEWAY_CONFIG, ALLOW_SIMULATED: 'true' }).deployments;
    if (!own) throw new Error('no deployment');
    expect(deploymentApiKey(own)).toBe('sk-own');
    expect(() => deploymentApiKey({ ...own, apiKeyFile: '/nowhere' })).toThrow('deployments.own.apiKeyFile: cannot read the file: ENOENT');
  });
});

describe('a deployment', () => {
  const read = (lines: string, baseUrl?: string) =>
    loadConfig({ GATEWAY_CONFIG: deployment(lines, baseUrl), ALLOW_SIMULATED: 'true' }).deployments[0];

  it('speaks one wire or several of one operation, and departs from them as it says', () => {
    expect(wiresOf(read('') ?? {})).toEqual(['openai-chat']);
    expect(wiresOf(read(', wire: anthropic-messages') ?? {})).toEqual(['anthropic-messages']);
    const both = read(', wire: [openai-responses, openai-chat], dialect: { drops: [seed] }, traits: { sampling: one }') ?? {};
    expect(wiresOf(both)).toEqual(['openai-responses', 'openai-chat']);
    expect(operationOf(both)).toBe('generate');
    expect(operationOf(read(', wire: gemini-embed') ?? {})).toBe('embed');
    expect(both).toMatchObject({ dialect: { drops: ['seed'] }, traits: { sampling: 'one' } });
    expect(read('', 'https://h/openai/d?api-version=1')?.baseUrl).toBe('https://h/openai/d?api-version=1');
  });

  it.each([
    ['a wire that is none', ', wire: canary', 'deployments.0.wire'],
    ['no wire', ', wire: []', 'deployments.0.wire'],
    ['wires of two operations', ', wire: [openai-chat, openai-embeddings]', 'deployments.0.wire'],
    ['a trait that is none', ', traits: { clever: true }', 'deployments.0.traits'],
    ['a header of the connection', ', headers: { Host: canary }', 'deployments.0.headers'],
    ['a header that ends another', ', headers: { "x-a": "1\\r\\ncanary: 1" }', 'deployments.0.headers'],
    ['a field of the dialect that is none', ', dialect: { clever: true }', 'deployments.0.dialect'],
  ])('is refused with %s', (_what, lines, named) => expectRefused({ GATEWAY_CONFIG: deployment(lines), ALLOW_SIMULATED: 'true' }, named));

  it('is refused where its URL names a user, whose word would go nowhere', () => {
    expectRefused({ GATEWAY_CONFIG: deployment('', 'https://u:p@h/v1'), ALLOW_SIMULATED: 'true' }, 'deployments.0.baseUrl');
  });
});

describe('SECRET_KEY', () => {
  const hex = (byte: string, bytes = 32) => byte.repeat(bytes);

  it.each([
    ['hex', hex('ab'), [['0', 32]]],
    ['base64', Buffer.alloc(32, 7).toString('base64'), [['0', 32]]],
    ['any characters', '!'.repeat(40), [['0', 40]]],
    [
      'several, newest first',
      `7:${hex('ab')}, 255:${hex('cd', 33)}\n0:${hex('ef')}`,
      [
        ['7', 32],
        ['255', 33],
        ['0', 32],
      ],
    ],
  ])('may be %s', (_what, SECRET_KEY, expected) => {
    expect(loadConfig({ SECRET_KEY }).secretKeys.map(({ id, secret }) => [id, secret.length])).toEqual(expected);
  });

  it.each([
    ['31 bytes of hex', hex('ab', 31), '32 random bytes'],
    ['43 characters that are 31 bytes of base64', Buffer.alloc(31, 7).toString('base64'), '32 random bytes'],
    ['a long one beside a short one', `1:${hex('ab')},0:canary`, '32 random bytes'],
    ['one id twice', `1:${hex('ab')},1:${hex('cd')}`, 'the same id'],
    ['an id above 255', `256:${hex('ab')}`, 'from 0 to 255'],
    ['an id that is no number', `new:${hex('ab')}`, 'from 0 to 255'],
    ['an id written twice as long', `01:${hex('ab')}`, 'from 0 to 255'],
  ])('stops the start where it is %s', (_what, SECRET_KEY, told) => expectRefused({ SECRET_KEY }, told));

  it('is made once where there is none, for nobody else to read, and stays', () => {
    const made = path.join(directory, 'made');
    const { secretKeys } = withSecretKey(loadConfig({}), made);
    expect(secretKeys.map(({ secret }) => secret.length)).toEqual([32]);
    expect(statSync(path.join(made, 'secret-key')).mode & 0o777).toBe(0o600);
    expect(withSecretKey(loadConfig({}), made).secretKeys).toEqual(secretKeys);
    expect(withSecretKey(loadConfig({}), path.join(directory, 'another')).secretKeys).not.toEqual(secretKeys);
  });

  it.each([0o644, 0o666, 0o640, 0o700])('is closed again to others where its file was open to them: %o', (mode) => {
    const open = path.join(directory, `open-${mode}`);
    const { secretKeys } = withSecretKey(loadConfig({}), open);
    chmodSync(path.join(open, 'secret-key'), mode);
    expect(withSecretKey(loadConfig({}), open).secretKeys).toEqual(secretKeys);
    expect(statSync(path.join(open, 'secret-key')).mode & 0o777).toBe(0o600);
  });

  it('is the operator’s where the database is, for several gateways share it', () => {
    const DATABASE_URL = 'postgres://h/d';
    expect(() => withSecretKey(loadConfig({ DATABASE_URL }), directory)).toThrow(/^SECRET_KEY is required/);
    expect(withSecretKey(loadConfig({ DATABASE_URL, SECRET_KEY: hex('ab') }), directory).secretKeys).toHaveLength(1);
  });

  it('is not made anew of a file that was damaged', () => {
    const damaged = path.join(directory, 'damaged');
    withSecretKey(loadConfig({}), damaged);
    writeFileSync(path.join(damaged, 'secret-key'), '');
    expect(() => withSecretKey(loadConfig({}), damaged)).toThrow(ConfigError);
  });
});

describe('GATEWAY_CONFIG', () => {
  it.each([
    ['no YAML', 'deployments: [', 'not valid YAML'],
    ['a field that there is not', 'deploiments: []', 'deploiments'],
    ['a deployment without prices', 'deployments: [{ id: a, baseUrl: "http://h" }]', 'deployments.0.prices'],
    [
      'a deployment’s id twice',
      'deployments: [&a { id: a, baseUrl: "http://h", prices: { input: 1, output: 1 } }, *a]',
      'bad.yaml:1:24: deployments.1.id: is the id of another deployment',
    ],
    ['no URL', 'deployments: [{ id: a, baseUrl: canary, prices: { input: 1, output: 1 } }]', 'deployments.0.baseUrl'],
    ['no tokens', 'deployments: [{ id: a, baseUrl: "http://h", prices: { input: 1, output: 1 }, contextWindow: 0 }]', 'contextWindow'],
    [
      'more tokens than any model takes',
      'deployments: [{ id: a, baseUrl: "http://h", prices: { input: 1, output: 1 }, maxOutputTokens: 1e10 }]',
      'maxOutputTokens',
    ],
  ])('stops the start where it has %s', (_what, content, told) => {
    expectRefused({ GATEWAY_CONFIG: file('bad.yaml', content) }, 'GATEWAY_CONFIG: ');
    expect(() => loadConfig({ GATEWAY_CONFIG: file('bad.yaml', content) })).toThrow(told);
  });

  it('may be empty', () => {
    expect(loadConfig({ GATEWAY_CONFIG: file('empty.yaml', '') })).toMatchObject({ deployments: [], prices: {} });
  });
});
