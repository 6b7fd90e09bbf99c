import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Pool } from 'undici';
import { auditLedger } from '../../src/ledger/audit.ts';
import { chat } from '../support/chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { createSite, fundAccount, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { accountOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const CLIENTS = 12;
const CONNECTIONS_TO_EACH = 8;
const ANSWERS_BETWEEN = 60;
const DEPOSIT_SATS = 100_000;

let upstream: FakeProvider;
let database: TestDatabase;
let site: GatewaySite;

beforeEach(async () => {
  [upstream, database] = await Promise.all([startFakeProvider(), createTestDatabase()]);
  site = createSite({ deployments: [upstream.deployment()], env: { DATABASE_URL: database.connectionString } });
});

afterEach(async () => {
  await site.close();
  await upstream.close();
  await database.drop();
});

/**
 * Clients behind a load balancer that keeps connections open and does what every one does by default: where a gateway
 * takes no connection, it asks the next one. What was sent once is never sent again.
 */
class BalancedLoad {
  answers = 0;
  readonly failures: string[] = [];
  readonly #pools: Pool[];
  readonly #key: TestKey;
  readonly #clients: Promise<unknown>;
  #ending = false;

  constructor(gateways: readonly GatewayProcess[], key: TestKey) {
    this.#pools = gateways.map(({ url }) => new Pool(url, { connections: CONNECTIONS_TO_EACH }));
    this.#key = key;
    this.#clients = Promise.all(Array.from({ length: CLIENTS }, (_, client) => this.#run(client)));
  }

  /** Resolves once so many more have been answered. */
  async more(answers: number): Promise<void> {
    const enough = this.answers + answers;
    await until(() => this.answers >= enough || this.failures.length > 0);
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.#clients;
    await Promise.all(this.#pools.map((pool) => pool.close()));
  }

  async #run(client: number): Promise<void> {
    for (let turn = client; !this.#ending && this.failures.length === 0; turn++) {
      const stream = client % 3 === 0;
      await this.#ask(turn, JSON.stringify(chat({ stream, max_tokens: 50 }))).then(
        (text) => {
          if (stream && !text.endsWith('data: [DONE]\n\n')) this.failures.push(`a stream was cut: ${text}`);
          this.answers++;
        },
        (error: unknown) => this.failures.push(String(error)),
      );
    }
  }

  async #ask(turn: number, body: string, refusals = 0): Promise<string> {
    const pool = this.#pools[turn % this.#pools.length];
    if (!pool || refusals === this.#pools.length) throw new Error('no gateway takes connections');
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${this.#key.secret}` };
    let answer;
    try {
      answer = await pool.request({ method: 'POST', path: '/v1/chat/completions', headers, body });
    } catch (error) {
      if ((error as { code?: string }).code !== 'ECONNREFUSED') throw error;
      return this.#ask(turn + 1, body, refusals + 1);
    }
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode}: ${text}`);
    return text;
  }
}

it('two gateways that are restarted one after the other under load fail no funded request, and charge each once', async () => {
  const gateways = await Promise.all([site.start(), site.start()]);
  const [first] = gateways;
  const key = await first.newKey();
  await fundAccount(database, key, DEPOSIT_SATS);
  const load = new BalancedLoad(gateways, key);
  await load.more(ANSWERS_BETWEEN);

  for (const gateway of gateways) {
    expect(await gateway.end('SIGTERM')).toMatchObject({ code: 0 });
    await load.more(ANSWERS_BETWEEN);
    await site.start({ PORT: new URL(gateway.url).port });
    await load.more(ANSWERS_BETWEEN);
  }
  await load.end();

  expect(load.failures).toEqual([]);
  const { rows } = await database.pool.query<{ charges: bigint; charged: bigint }>(
    `select count(*) as charges, sum(amount_msat)::bigint as charged from transfers where kind = 'charge'`,
  );
  expect(rows[0]?.charges).toBe(BigInt(load.answers));
  const balance = BigInt(DEPOSIT_SATS) * 1_000n - (rows[0]?.charged ?? 0n);
  expect(await accountOf(database.pool, key.accountId)).toMatchObject({ posted_msat: balance, held_msat: 0n });
  expect(await auditLedger(database.pool, { oldestHoldSeconds: 60 })).toEqual([]);
});
