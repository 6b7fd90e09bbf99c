import { readFileSync } from 'node:fs';
import { auditLedger } from '../src/ledger/audit.ts';
import { createSite, fundAccount } from '../test/support/gateway-process.ts';
import { until } from '../test/support/until.ts';
import { DEPLOYMENT } from './exchange.ts';

/** Pura as an operator runs it, with everything on, and an account that pays for every request. */
export interface Pura {
  readonly origin: string;
  readonly apiKey: string;
  /** What is wrong with its books after `answers` answered requests. Empty: nothing. */
  discrepancies(answers: number): Promise<string[]>;
  end(): Promise<void>;
}

/** Enough for fifteen million answers. */
const TOPUP_SATS = 1_000_000;

/** Limits that a load test would hit. Nothing is switched off: they are counted all the same. */
const ENV = { RATE_LIMIT_RPM: '1000000000', RATE_LIMIT_TPM: '1000000000000000', DAILY_BUDGET_USD: '1000000', LOG_LEVEL: 'warn' };

/** What `npm start` runs Node with. */
function startArguments(): string[] {
  const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { scripts: { start: string } };
  const [, , last = ''] = /^exec node (.+) \|\| node (.+)$/.exec(scripts.start) ?? [];
  return last.split(' ');
}

/** Starts a gateway over an embedded PostgreSQL of its own, durable, with one deployment at `upstream`. */
export async function startPura(upstream: string, nodeOptions: readonly string[] = []): Promise<Pura> {
  const site = createSite({
    deployments: [
      {
        id: DEPLOYMENT,
        baseUrl: `${upstream}/v1`,
        prices: { input: 0.15, output: 0.6 },
        tier: 'cheap',
        contextWindow: 128_000,
        maxOutputTokens: 16_384,
        capField: 'max_tokens',
        remoteImages: false,
        allowParameters: [],
      },
    ],
    env: ENV,
    command: [...nodeOptions, ...startArguments()],
  });
  try {
    const gateway = await site.start();
    const database = await site.database();
    const key = await gateway.newKey();
    await fundAccount(database, key, TOPUP_SATS);
    return {
      origin: gateway.url,
      apiKey: key.secret,
      async discrepancies(answers) {
        const count = async (query: string) => Number((await database.pool.query<{ count: bigint }>(query)).rows[0]?.count);
        // The last answers' usage records are written behind them.
        await until(async () => (await count('select count(*) from requests')) >= answers).catch(() => {});
        const found = {
          charges: await count(`select count(*) from transfers where kind = 'charge'`),
          'usage records': await count(`select count(*) from requests where outcome = 'ok'`),
          'posted holds': await count(`select count(*) from holds where state = 'posted' and funding = 'wallet'`),
        };
        const wrong = Object.entries(found).filter(([, number]) => number !== answers);
        const violations = await auditLedger(database.pool, { oldestHoldSeconds: 60 });
        return [
          ...wrong.map(([what, number]) => `${answers} answers, but ${number} ${what}`),
          ...violations.map(({ rule, subject, expected, found: is }) => `${rule}: ${subject} should be ${expected}, is ${is}`),
        ];
      },
      async end() {
        const { code, output } = await gateway.end('SIGTERM');
        await site.close();
        if (code !== 0) throw new Error(`the gateway ended with ${String(code)}: ${output}`);
      },
    };
  } catch (error) {
    await site.close();
    throw error;
  }
}
