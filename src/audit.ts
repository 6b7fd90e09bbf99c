import { loadConfig } from './config.ts';
import { openDatabase } from './db/open-database.ts';
import { createPool } from './db/postgres.ts';
import { auditLedger } from './ledger/audit.ts';
import { createLog } from './log.ts';

/** `npm run audit`: checks the ledger's invariants, beside a running gateway or without one. Exits with 1 on a violation. */
const config = loadConfig();
const database = await openDatabase(config, createLog('warn'), { join: true });
const pool = createPool({ connectionString: database.connectionString, max: 1 });
try {
  const violations = await auditLedger(pool, { oldestHoldSeconds: config.STREAM_MAX_SECONDS + 2 * config.HOLD_LEASE_SECONDS });
  for (const { invariant, rule, subject, expected, found } of violations) {
    console.error(`invariant ${invariant}, ${rule}: ${subject} should be ${expected}, is ${found}`);
  }
  console.log(violations.length === 0 ? 'The ledger is sound: every invariant holds.' : `${violations.length} violations.`);
  process.exitCode = violations.length === 0 ? 0 : 1;
} finally {
  await pool.end();
  await database.stop();
}
