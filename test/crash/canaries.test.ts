import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomUUID } from 'node:crypto';
import type { Pool } from '../../src/db/postgres.ts';
import { beginStream, readStream } from '../support/chat-stream.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { completion, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import { TEST_ROOT } from '../support/funded.ts';
import type { TestKey } from '../support/gateway.ts';
import { settledHold } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const canary = (name: string) => `canary-${name}-${randomUUID()}`;

/** What people say to models, what models say to them, and what opens something: each must be seen nowhere. */
const PROMPT = canary('prompt');
const COMPLETION = canary('completion');
const PROVIDER_KEY = canary('provider-key');
const OWN_PROVIDER_KEY = canary('own-provider-key');
const PROVIDER_ERROR = canary('provider-error');
const FOREIGN_KEY = canary('foreign-key');
const IDEMPOTENCY_KEY = canary('idempotency');
const USER = canary('user');
/** May be stored: it shows that the search finds what is there. */
const LABEL = canary('label');

let upstream: FakeProvider;
let database: TestDatabase;
let site: GatewaySite;
let key: TestKey;
let output = '';

beforeAll(async () => {
  [upstream, database] = await Promise.all([startFakeProvider(), createTestDatabase()]);
  site = createSite({
    deployments: [upstream.deployment({ apiKey: PROVIDER_KEY })],
    env: {
      ALLOW_SIMULATED: 'true',
      DATABASE_URL: database.connectionString,
      LOG_LEVEL: 'trace',
      OPENAI_BASE_URL: upstream.baseUrl,
      HOLD_LEASE_SECONDS: '2',
      SHUTDOWN_GRACE_SECONDS: '1',
    },
  });
  const [doomed, survivor] = await Promise.all([site.start(), site.start()]);
  key = await doomed.newKey({ label: LABEL });
  await fundAccount(database, key, 1_000);
  await useEveryWay(doomed);
  await loseConnections(database.pool);
  await until(async () => (await doomed.post('/v1/chat/completions', body(), key)).status === 200);
  await useEveryWay(doomed);
  output = await crashMidStream(doomed);
  await settledHold(database.pool, key.accountId);
  output += (await survivor.end('SIGTERM')).output;
});

afterAll(async () => {
  await site.close();
  await upstream.close();
  await database.drop();
});

const body = (members: object = {}) => ({
  model: 'pureai/fake',
  user: USER,
  max_tokens: 100,
  messages: [{ role: 'user', content: PROMPT }],
  ...members,
});

/** Success and every kind of failure, of the provider, the client and the credentials. */
async function useEveryWay(gateway: GatewayProcess): Promise<void> {
  const path = '/v1/chat/completions';
  const statuses: number[] = [];
  const ask = async (members: object, headers: Record<string, string> = {}) => {
    const answer = await gateway.post(path, body(members), key, headers);
    statuses.push(answer.status);
    await answer.text();
  };
  const good = completion({ content: COMPLETION });
  upstream.script((exchange) => exchange.json(good));
  await ask({}, { 'idempotency-key': `${IDEMPOTENCY_KEY}${upstream.requests.length}` });
  upstream.script((exchange) => exchange.stream([COMPLETION, 'end']));
  await readStream(
    await gateway.post(path, body({ stream: true }), key, { 'idempotency-key': `${IDEMPOTENCY_KEY}${upstream.requests.length}` }),
  );
  upstream.script((exchange) => exchange.error(400, PROVIDER_ERROR));
  await ask({});
  // A success after each fault: the circuit stays closed.
  const succeed = async () => {
    upstream.script((exchange) => exchange.json(good));
    await ask({});
  };
  upstream.script((exchange) => exchange.error(500, PROVIDER_ERROR));
  await ask({});
  await succeed();
  upstream.script((exchange) => exchange.error(401, PROVIDER_ERROR));
  await ask({});
  await succeed();
  // A kept connection that is lost is made anew once.
  for (let time = 0; time < 2; time++) upstream.script((exchange) => exchange.reset());
  await ask({});
  await succeed();
  upstream.script((exchange) => exchange.json(COMPLETION));
  await ask({});
  await succeed();
  upstream.script(async (exchange) => {
    exchange.startStream();
    await exchange.content(COMPLETION);
    await exchange.send(`data: {"${COMPLETION}\n\n`);
    exchange.reset();
  });
  await ask({ stream: true });
  await succeed();
  await ask({ [PROMPT]: PROMPT });
  await ask({ messages: PROMPT });
  await ask({}, { 'x-provider-key': PROVIDER_KEY });
  statuses.push((await gateway.post(path, `{"messages": "${PROMPT}`, key)).status);
  statuses.push((await gateway.post(path, body(), { ...key, secret: FOREIGN_KEY })).status);
  statuses.push((await gateway.post(path, body(), null, { 'x-api-key': `pura_${FOREIGN_KEY}` })).status);
  statuses.push((await gateway.post(`/${PROMPT}?key=${FOREIGN_KEY}`, body(), key)).status);
  expect(statuses).toEqual([200, 400, 503, 200, 503, 200, 503, 200, 503, 200, 200, 200, 400, 400, 400, 400, 401, 401, 404]);
  await useOwnKey(gateway);

  const { exchange, stream } = await beginStream(gateway, upstream, key, COMPLETION);
  await stream.leave();
  await exchange.clientGone;
}

/** Whoever reaches a provider with a key there, in success and failure. */
async function useOwnKey(gateway: GatewayProcess): Promise<void> {
  const answers: string[] = [];
  const echo = `Incorrect API key provided: ${OWN_PROVIDER_KEY}`;
  for (const status of [200, 400, 401, 429, 500]) {
    for (const stream of [false, true]) {
      upstream.script((exchange) => (status === 200 ? exchange.answer() : exchange.error(status, echo)));
      const headers = { 'x-provider-key': OWN_PROVIDER_KEY, 'idempotency-key': `${IDEMPOTENCY_KEY}${upstream.requests.length}` };
      const answer = await gateway.post('/v1/chat/completions', body({ model: 'gpt-4o-mini', stream }), key, headers);
      answers.push(`${answer.status} ${JSON.stringify([...answer.headers])} ${await answer.text()}`);
      expect(upstream.requests.at(-1)?.headers.authorization).toBe(`Bearer ${OWN_PROVIDER_KEY}`);
    }
  }
  expect(answers.join()).toContain('Incorrect API key provided: …');
  expect(answers.join()).not.toContain(OWN_PROVIDER_KEY);
}

/** Every statement under way fails, and every idle connection breaks. */
async function loseConnections(pool: Pool): Promise<void> {
  await pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'pura-gateway%' and pid <> pg_backend_pid()`,
  );
}

async function crashMidStream(gateway: GatewayProcess): Promise<string> {
  const { stream } = await beginStream(gateway, upstream, key, COMPLETION);
  const asOwner: Pick<GatewayProcess, 'post'> = {
    post: (path, members, payer) =>
      gateway.post(path, { ...(members as object), model: 'gpt-4o-mini' }, payer, { 'x-provider-key': OWN_PROVIDER_KEY }),
  };
  const { stream: own } = await beginStream(asOwner, upstream, key, COMPLETION);
  const { output: written } = await gateway.end('SIGKILL');
  await expect(stream.rest()).rejects.toThrow();
  await expect(own.rest()).rejects.toThrow();
  return written;
}

/** A secret in the forms in which it could turn up. */
function formsOf(secret: string | Buffer): string[] {
  const bytes = Buffer.from(secret);
  const digest = createHash('sha256').update(bytes).digest('hex');
  return [bytes.toString('latin1'), bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url'), digest];
}

const found = (haystack: string, forms: string[]) => forms.filter((form) => haystack.includes(form));

/** All rows of all tables as text (bytes as hex), by table. */
async function dump(pool: Pool): Promise<Map<string, string>> {
  const { rows: tables } = await pool.query<{ name: string }>(`select tablename as name from pg_tables where schemaname = 'public'`);
  const contents = new Map<string, string>();
  for (const { name } of tables) {
    const { rows } = await pool.query<{ text: string }>(`select t::text as text from "${name}" t`);
    contents.set(name, rows.map(({ text }) => text).join('\n'));
  }
  return contents;
}

async function preimages(pool: Pool): Promise<Buffer[]> {
  const { rows } = await pool.query<{ preimage: Buffer }>('select preimage from simulated_invoices');
  return rows.map(({ preimage }) => preimage);
}

describe('after success, every kind of failure, lost connections and a crash', () => {
  const SECRETS: [name: string, secret: () => string | Buffer][] = [
    ['prompt', () => PROMPT],
    ['completion', () => COMPLETION],
    ["key of a provider's", () => PROVIDER_KEY],
    ["client's own key of a provider's", () => OWN_PROVIDER_KEY],
    ["words of a provider's error", () => PROVIDER_ERROR],
    ['API key', () => key.secret],
    ['key that opens nothing here', () => FOREIGN_KEY],
    ['Idempotency-Key', () => IDEMPOTENCY_KEY],
    ["client's name for its user", () => USER],
    ['root secret', () => TEST_ROOT.secret],
    ['password of the database', () => new URL(database.connectionString).password],
  ];

  it('the log says what happened, at its most talkative', () => {
    expect(output).toContain('Pura listens on');
    expect(output).toContain('a request could not be served');
    expect(output).toContain('an idle connection to the database broke');
    expect(output).toContain('settled holds whose gateway is gone');
    // What the database's client hangs on its errors.
    expect(output).not.toMatch(/secretKey|connectionParameters/);
  });

  it.each(SECRETS)('no %s is in the log', (_name, secret) => {
    expect(found(output, formsOf(secret()))).toEqual([]);
  });

  it.each(SECRETS)('no %s is in any table', async (_name, secret) => {
    const contents = await dump(database.pool);
    expect(found(contents.get('api_keys') ?? '', [LABEL])).toEqual([LABEL]);
    for (const [table, content] of contents) expect({ table, found: found(content, formsOf(secret())) }).toEqual({ table, found: [] });
  });

  it("no preimage is in the log, nor in any table but the simulated node's own", async () => {
    // Its digest is the payment hash, which is anybody's to see.
    const forms = (await preimages(database.pool)).flatMap((preimage) => formsOf(preimage).slice(0, -1));
    expect(forms).not.toEqual([]);
    expect(found(output, forms)).toEqual([]);
    const contents = await dump(database.pool);
    contents.delete('simulated_invoices');
    for (const [table, content] of contents) expect({ table, found: found(content, forms) }).toEqual({ table, found: [] });
  });
});
