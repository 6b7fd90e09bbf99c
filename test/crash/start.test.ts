import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { loadConfig } from '../../src/config/config.ts';
import { createSite, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import { until } from '../support/until.ts';

/** Must be seen nowhere: the values that a refused start was given. */
const CANARY = 'canary4e1f';

describe('a start with nothing configured', () => {
  let site: GatewaySite;
  let gateway: GatewayProcess;

  beforeAll(async () => {
    site = createSite({ env: { SECRET_KEY: '' } });
    gateway = await site.start();
  });
  afterAll(() => site.close());

  it('says where it listens, and which database, provider and wallet it uses', () => {
    const greeting = gateway.output();
    expect(greeting).toMatch(/Pura listens on http:\/\/127\.0\.0\.1:\d+\n/);
    expect(greeting).toContain(`embedded PostgreSQL in ${site.dataDir}`);
    expect(greeting).toMatch(/providers +demo \(built in: no model is called/);
    expect(greeting).toMatch(/wallet +simulated \(play money/);
  });

  it('prints three commands that work when pasted', async () => {
    const [makeKey, chatting, paying, ...more] = commandsOf(gateway.output());
    expect(more).toEqual([]);
    // One shell, as the reader has it: the later commands use what the first one exported.
    const script = [makeKey, 'echo "$MY_PURA_KEY"', 'echo ---', chatting, 'echo ---', paying].join('\n');
    const { stdout, status } = spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 20_000 });
    const [key = '', chat = '', payment = ''] = stdout.split('---\n').map((part) => part.trim());
    expect(status).toBe(0);
    expect(key).toMatch(/^pura_[\w-]{20,}$/);
    expect(chat).toContain('data: [DONE]');
    expect(chat).toContain('"funding":"free"');
    expect(JSON.parse(payment)).toEqual({ preimage: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const { balance } = await until(async () => {
      const answer = await gateway.get('/api/wallet/balance', { id: '', accountId: '', secret: key });
      const account = (await answer.json()) as { balance: number };
      return account.balance > 0 && account;
    });
    expect(balance).toBe(1_000);
  });

  it('refuses to start beside it on the same data, and says what to do', async () => {
    const { code, output } = await site.run(['src/server.ts']);
    expect(code).toBe(1);
    expect(output).toMatch(/^Pura cannot start\. another gateway \(process \d+\) is running on .*set DATA_DIR/);
    expect((await gateway.get('/health')).status).toBe(200);
  });

  it('keeps keys and balances over a restart, and leaves with 0 on SIGTERM and Ctrl-C', async () => {
    const key = await gateway.newKey();
    const chatting = () => gateway.post('/v1/chat/completions', { messages: [{ role: 'user', content: 'Hello' }] }, key);
    const balance = async () => (await gateway.get('/api/wallet/balance', key)).json();
    expect((await chatting()).status).toBe(200);
    const before = await balance();

    expect(await gateway.end('SIGTERM')).toMatchObject({ code: 0, signal: null });
    gateway = await site.start();
    // It stopped its database too: this one was started, not found.
    expect(gateway.output()).not.toContain('(found running)');
    expect(await balance()).toEqual(before);
    expect((await chatting()).status).toBe(200);

    const audit = await site.run(['src/audit.ts']);
    expect(audit).toMatchObject({ code: 0, output: expect.stringContaining('every invariant holds') });

    // The terminal's own SIGINT, and npm's.
    gateway.signal('SIGINT');
    expect(await gateway.end('SIGINT')).toMatchObject({ code: 0, signal: null });
  });
});

describe('a configuration that cannot be', () => {
  const REFUSED: [refused: string, env: Record<string, string>, named?: string][] = [
    ['a port that is none', { PORT: CANARY }],
    ['a port out of range', { PORT: '65536' }],
    ['a database of another kind', { DATABASE_URL: `mysql://root:${CANARY}@localhost/pura` }],
    ['a wallet that is unknown', { LIGHTNING_BACKEND: CANARY }],
    ['a negative number of free requests', { FREE_TIER_REQUESTS: '-1' }],
    ['an amount with a sign', { DAILY_BUDGET_USD: '$10' }],
    ['a rate that is none', { BTC_USD: CANARY }],
    ['proxies that are no addresses', { TRUSTED_PROXIES: CANARY }],
    ['a body limit of nothing', { BODY_LIMIT_MB: '0' }],
    ['an invoice that expires at once', { INVOICE_EXPIRY_SECONDS: '1' }],
    ['an address of OpenAI that is none', { OPENAI_BASE_URL: CANARY }],
    ['a log level that is none', { LOG_LEVEL: CANARY }],
    ['a secret that is too short', { SECRET_KEY: 'deadbeef' }],
    ['two secrets of one id', { SECRET_KEY: `1:${'ab'.repeat(32)},1:${'cd'.repeat(32)}` }],
    ['a secret given twice', { SECRET_KEY: 'ab'.repeat(32), SECRET_KEY_FILE: '/dev/null' }],
    ['a secret file that is not there', { SECRET_KEY_FILE: '/nowhere/at/all' }, 'SECRET_KEY_FILE'],
    ['a file that is not there', { GATEWAY_CONFIG: '/nowhere/at/all' }],
    ['the simulated wallet in production', { NODE_ENV: 'production' }],
    ['the simulated wallet for everybody', { HOST: '0.0.0.0' }],
    ['the simulated wallet for everybody, over IPv6', { HOST: '::' }, 'HOST'],
  ];

  it.each(REFUSED)('%s: the start is refused by name, without the value', (_refused, env, named = Object.keys(env)[0] ?? '') => {
    const message = refusalOf(env);
    expect(message).toContain(named);
    expect(message).not.toContain(CANARY);
  });

  it('is allowed play money in production where the operator insists', () => {
    expect(loadConfig({ NODE_ENV: 'production', HOST: '0.0.0.0', ALLOW_SIMULATED: 'true' })).toMatchObject({ HOST: '0.0.0.0' });
  });

  it('ends the process with 1 and one sentence, whatever the mistake', async () => {
    const site = createSite();
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    try {
      const { port } = taken.address() as AddressInfo;
      const mistakes: [Record<string, string>, string][] = [
        [{ PORT: CANARY }, 'PORT: must be a whole number'],
        [{ NODE_ENV: 'production' }, 'LIGHTNING_BACKEND: the simulated wallet does not run with NODE_ENV=production'],
        [{ DATABASE_URL: 'postgres://127.0.0.1:1/pura', SECRET_KEY: '' }, 'SECRET_KEY is required with DATABASE_URL'],
        [{ PORT: String(port) }, `PORT: ${port} is in use on 127.0.0.1`],
      ];
      for (const [env, sentence] of mistakes) {
        const { code, output } = await site.run(['src/server.ts'], env);
        expect({ code, output }).toEqual({ code: 1, output: expect.stringMatching(/^Pura cannot start\. [^\n]+\n$/) });
        expect(output).toContain(sentence);
        expect(output).not.toContain(CANARY);
      }
    } finally {
      taken.close();
      await site.close();
    }
  });
});

/** The commands of the greeting: its indented lines after "Make a key". */
function commandsOf(greeting: string): string[] {
  const [, commands = ''] = greeting.split('Make a key, chat, pay:');
  return commands
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^(curl|export) /.test(line));
}

function refusalOf(env: Record<string, string>): string {
  try {
    loadConfig(env);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the configuration was taken');
}
