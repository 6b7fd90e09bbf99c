import { ConfigError, loadConfig, withSecretKey } from './config.ts';
import { createNotifications } from './db/notify.ts';
import { openDatabase, type OpenDatabase } from './db/open-database.ts';
import { createPool, type Pool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import { auditLedger } from './ledger/audit.ts';
import { compareBooks, type NodeAudit } from './lightning/audit-node.ts';
import { openWallet } from './lightning/open-wallet.ts';
import { createLog } from './log.ts';

/**
 * `npm run audit`: checks the ledger's invariants, and that the Lightning node's own books agree with it both ways, beside a running
 * gateway or without one. Exits with 1 on a violation; a node that is away is told of and is none. Of the node's books it reads all;
 * `-- --recent` only what has come since all was final.
 */
const config = loadConfig();
const database = await openDatabase(config, createLog('warn'), { join: true });
const pool = createPool({ connectionString: database.connectionString, max: 2 });
try {
  const ledger = await auditLedger(pool, { oldestHoldSeconds: config.STREAM_MAX_SECONDS + 2 * config.HOLD_LEASE_SECONDS });
  const node = await askNode(pool, database);
  const violations = [...ledger, ...(node?.violations ?? [])];
  for (const { invariant, rule, subject, expected, found } of violations) {
    console.error(`invariant ${invariant}, ${rule}: ${subject} should be ${expected}, is ${found}`);
  }
  for (const what of node?.notCompared ?? []) console.error(`Not compared: ${what}.`);
  if (node && node.foreign > 0) console.log(`${node.foreign} entries of the node's books are none of this gateway's.`);
  const asked = node ? '' : ' The Lightning node could not be asked what it received and paid.';
  console.log(violations.length === 0 ? `The ledger is sound: every invariant holds.${asked}` : `${violations.length} violations.${asked}`);
  process.exitCode = violations.length === 0 ? 0 : 1;
} finally {
  await pool.end();
  await database.stop();
}

/** What the node's books and ours differ in; undefined where it cannot be asked. */
async function askNode(ledger: Pool, { connectionString, dataDir }: OpenDatabase): Promise<NodeAudit | undefined> {
  const notifications = createNotifications(connectionString);
  try {
    const settings = withSecretKey(config, dataDir);
    const root = settings.secretKeys.at(-1);
    if (!root) throw new ConfigError('SECRET_KEY is missing');
    const wallet = await openWallet(settings, { pool: ledger, notifications, root, log: createLog('silent') });
    try {
      return await compareBooks(ledger, wallet, { full: !process.argv.includes('--recent') });
    } finally {
      await wallet.close();
    }
  } catch (error) {
    // What went wrong is told in a sentence; the log would mix with the verdict.
    if (!(error instanceof GatewayError || error instanceof ConfigError)) throw error;
    console.error(`The Lightning node: ${error.cause instanceof Error ? error.cause.message : error.message}`);
    return undefined;
  } finally {
    await notifications.close();
  }
}
