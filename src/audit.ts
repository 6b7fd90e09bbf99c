import { withWallet } from './command-wallet.ts';
import { olderSecrets } from './accounts/older-secrets.ts';
import { loadConfig, withSecretKey } from './config/config.ts';
import { ConfigError } from './config/config-error.ts';
import type { RootSecret } from './config/secret-keys.ts';
import { openDatabase } from './db/open-database.ts';
import { createPool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import { auditLedger } from './ledger/audit.ts';
import { recordAudit } from './ledger/audit-history.ts';
import { soundUntil } from './ledger/sound-audit.ts';
import { compareBooks, type NodeAudit } from './node-audit/audit-node.ts';
import { openElsewhere, type OpenElsewhere } from './lightning/other-nodes.ts';
import { createLog } from './log.ts';

/**
 * `npm run audit`: checks the ledger's invariants, and that the Lightning node's own books agree with it both ways, beside a running
 * gateway or without one. Exits with 1 on a violation; a node that is away is told of and is none. It reads the whole history and all of
 * the node's books; `-- --recent` only what has come since the gateway found all sound.
 */
const recent = process.argv.includes('--recent');
const config = loadConfig();
const database = await openDatabase(config, createLog('warn'), { join: true });
const pool = createPool({ connectionString: database.connectionString, max: 2 });
try {
  const oldestHoldSeconds = config.STREAM_MAX_SECONDS + 2 * config.HOLD_LEASE_SECONDS;
  const since = recent ? await soundUntil(pool) : undefined;
  const startedAt = performance.now();
  const ledger = await auditLedger(pool, { oldestHoldSeconds, freeRequests: config.FREE_TIER_REQUESTS }, since);
  const tookMs = performance.now() - startedAt;
  await recordAudit(pool, { tookMs, whole: since === undefined, ranBy: 'command', violations: ledger });
  const node = await askNode();
  const violations = [...ledger, ...(node?.violations ?? [])];
  for (const { invariant, rule, subject, expected, found } of violations) {
    console.error(`invariant ${invariant}, ${rule}: ${subject} should be ${expected}, is ${found}`);
  }
  for (const { nodeId, invoices, withdrawals } of node?.elsewhere ?? []) {
    console.error(`Not compared: ${invoices} invoices and ${withdrawals} withdrawals that are open with another node, ${nodeId}.`);
  }
  for (const what of node?.notCompared ?? []) console.error(`Not compared: ${what}.`);
  if (node && node.foreign > 0) console.error(`${node.foreign} entries of the node's books are none of this gateway's.`);
  for (const { secretId, keys, known } of await olderSecrets(pool, secretKeys())) {
    console.log(`Live keys stored under secret ${secretId}, ${known ? 'an older one of SECRET_KEY' : 'which SECRET_KEY lacks'}: ${keys}.`);
  }
  const asked = node ? openWith(node.elsewhere) : ' The Lightning node could not be asked what it received.';
  console.log(violations.length === 0 ? `The ledger is sound: every invariant holds.${asked}` : `${violations.length} violations.${asked}`);
  process.exitCode = violations.length === 0 ? 0 : 1;
} finally {
  await pool.end();
  await database.stop();
}

/** What the verdict does not cover, in its own line: who reads no other must not take all for sound. */
function openWith(elsewhere: readonly OpenElsewhere[]): string {
  const count = (what: 'invoices' | 'withdrawals'): number => elsewhere.reduce((sum, node) => sum + node[what], 0);
  if (elsewhere.length === 0) return '';
  return ` Not audited: ${count('invoices')} invoices and ${count('withdrawals')} withdrawals that are open with another node.`;
}

/** None where SECRET_KEY is missing, which the wallet tells of. */
function secretKeys(): readonly RootSecret[] {
  try {
    return withSecretKey(config, database.dataDir).secretKeys;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [];
  }
}

/** What the node's books and ours differ in; undefined where it cannot be asked. */
async function askNode(): Promise<(NodeAudit & { elsewhere: OpenElsewhere[] }) | undefined> {
  try {
    const options = { full: !recent };
    return await withWallet(config, { pool, database }, async (wallet) => ({
      ...(await compareBooks(pool, wallet, options)),
      elsewhere: await openElsewhere(pool, [wallet.nodeId]),
    }));
  } catch (error) {
    // What went wrong is told in a sentence; the log would mix with the verdict.
    if (!(error instanceof GatewayError || error instanceof ConfigError)) throw error;
    console.error(`The Lightning node: ${error.cause instanceof Error ? error.cause.message : error.message}`);
    return undefined;
  }
}
