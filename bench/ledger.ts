import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres } from '../src/db/embedded/embedded-postgres.ts';
import { migrate } from '../src/db/migrate.ts';
import { newRequestId } from '../src/http/server/request-id.ts';
import { createLog } from '../src/log.ts';
import { addPayer, admission, auditOf, openLedger, settlement } from '../test/support/holds.ts';

/**
 * `node bench/ledger.ts`: the ledger alone, in this process, over an embedded PostgreSQL that commits to disk. Each caller places a hold and
 * posts it, again and again. Options: `--callers`, `--accounts` (that they share), `--seconds`. Ends with 1 where a verdict is not the
 * one it must be, or the audit finds something.
 */
const { values: options } = parseArgs({
  options: {
    callers: { type: 'string', default: '64' },
    accounts: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '6' },
  },
});

const BALANCE_MSAT = 1_000_000_000_000n;
const CHARGE_MSAT = 13n;
const WARM_UP_SECONDS = 3;
const PROJECT_DIR = fileURLToPath(new URL('..', import.meta.url));

const directory = mkdtempSync(path.join(tmpdir(), 'pura-bench-'));
chmodSync(directory, 0o755);
const postgres = await startEmbeddedPostgres({ dataDir: path.join(directory, 'data'), projectDir: PROJECT_DIR, log: createLog('warn') });
try {
  await migrate(postgres.connectionString);
  const ledger = openLedger(postgres);
  const { pool, holds } = ledger;
  const payers = await Promise.all(Array.from({ length: Number(options.accounts) }, () => addPayer(pool, { balanceMsat: BALANCE_MSAT })));
  const pairs = async (seconds: number) => {
    let done = 0;
    const startedAt = performance.now();
    const until = startedAt + seconds * 1000;
    const call = async (_: unknown, caller: number) => {
      const payer = payers[caller % payers.length];
      if (!payer) return;
      while (performance.now() < until) {
        const request = admission(payer, { requestId: newRequestId() });
        const hold = await holds.admit(request);
        const { verdict } = await holds.settle(settlement(request, hold, CHARGE_MSAT));
        if (hold.verdict !== 'admitted' || verdict !== 'posted') throw new Error(`${hold.verdict}, ${verdict}`);
        done++;
      }
    };
    await Promise.all(Array.from({ length: Number(options.callers) }, call));
    return { done, perSecond: done / ((performance.now() - startedAt) / 1000) };
  };
  await pairs(WARM_UP_SECONDS);
  const before = process.cpuUsage();
  const { done, perSecond } = await pairs(Number(options.seconds));
  const { user, system } = process.cpuUsage(before);
  console.log(`${options.callers} callers, ${options.accounts} accounts: ${perSecond.toFixed(0)} holds placed and posted a second`);
  console.log(`${((user + system) / done).toFixed(1)} µs of this process a pair`);
  const violations = await auditOf(pool);
  if (violations.length > 0) {
    console.log(violations);
    process.exitCode = 1;
  }
  await ledger.close();
} finally {
  await postgres.stop();
  for (const made of [directory, postgres.dataDir]) rmSync(made, { recursive: true, force: true });
}
