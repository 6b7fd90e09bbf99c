import { parseArgs } from 'node:util';
import { withWallet } from './command-wallet.ts';
import { ConfigError, loadConfig } from './config.ts';
import { openDatabase } from './db/open-database.ts';
import { createPool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import { compareBooks } from './lightning/audit-node.ts';
import type { Orphan } from './lightning/orphans.ts';
import type { Wallet } from './lightning/wallet.ts';
import { createLog } from './log.ts';
import { CannotReconcileError, Reconciling, type Belonging } from './reconciling.ts';

const USAGE = `npm run reconcile                                    lists what the node has in its books and the ledger has not
npm run reconcile -- --credit                        credits the payments received that say by their seal whose they are
npm run reconcile -- --credit --payment <hash> --account <id>   credits one to an account of your choice
npm run reconcile -- --book                          books the payments made whose withdrawals count as failed
npm run reconcile -- --book --payment <hash> --account <id>     books one as a withdrawal of an account of your choice
npm run reconcile -- --dismiss [--payment <hash>]    leaves as it is what is nobody's known (or the one named): withdrawals go on`;

/**
 * `npm run reconcile`: brings the ledger to agree with its node's books after the restore of a backup or the like, beside a running gateway
 * or without one. Lists what differs, and does with it what its flags say. While something is left, no withdrawal begins; exits with 1 then.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...{ credit: { type: 'boolean' }, book: { type: 'boolean' }, dismiss: { type: 'boolean' } },
      ...{ payment: { type: 'string' }, account: { type: 'string' }, help: { type: 'boolean' } },
    },
  });
  if (values.help === true || (values.account !== undefined && values.payment === undefined)) {
    console.log(USAGE);
    process.exitCode = values.help === true ? 0 : 2;
    return;
  }
  const config = loadConfig();
  const database = await openDatabase(config, createLog('warn'), { join: true });
  const pool = createPool({ connectionString: database.connectionString, max: 2 });
  try {
    process.exitCode = await withWallet(config, { pool, database }, async (wallet, settings) => {
      const reconciling = new Reconciling({ pool, wallet, roots: settings.secretKeys, dailyBudgetPicoUsd: settings.DAILY_BUDGET_USD });
      await compare(wallet);
      return reconcile(reconciling, values);
    });
  } finally {
    await pool.end();
    await database.stop();
  }

  /** Finds all that differs; where the node is away, what was found before is all that there is. */
  async function compare(wallet: Wallet): Promise<void> {
    try {
      const { notCompared } = await compareBooks(pool, wallet, { full: true });
      for (const what of notCompared) console.error(`Not compared: ${what}.`);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      console.error(`The Lightning node cannot be asked now: ${error.cause instanceof Error ? error.cause.message : error.message}`);
    }
  }
}

interface Wishes {
  credit?: boolean | undefined;
  book?: boolean | undefined;
  dismiss?: boolean | undefined;
  payment?: string | undefined;
  account?: string | undefined;
}

/** Gives the exit code: 0 where nothing is left to do. */
async function reconcile(reconciling: Reconciling, wishes: Wishes): Promise<number> {
  for (const orphan of await reconciling.open()) {
    const belonging = await reconciling.belongsTo(orphan);
    console.log(describe(orphan, belonging));
    if (wishes.payment === undefined || wishes.payment.toLowerCase() === orphan.paymentHash.toString('hex')) {
      const done = await dealWith(reconciling, orphan, belonging, wishes);
      if (done) console.log(`  ${done}`);
    }
  }
  const left = (await reconciling.open()).length;
  if (left === 0) console.log("The ledger knows all that is in the node's books.");
  else console.log(`${left} left, and no withdrawal begins until they are dealt with:\n${USAGE}`);
  return left === 0 ? 0 : 1;
}

/** What was done with an orphan, or why nothing was; undefined where nothing was wished. */
async function dealWith(reconciling: Reconciling, orphan: Orphan, belonging: Belonging, wishes: Wishes): Promise<string | undefined> {
  const isKnown = wishes.account !== undefined || !('unknown' in belonging);
  try {
    if (wishes.credit && orphan.direction === 'received' && isKnown) {
      return (await reconciling.credit(orphan, wishes.account)) ? 'credited' : ALREADY;
    }
    if (wishes.book && orphan.direction === 'paid' && isKnown) {
      return (await reconciling.book(orphan, wishes.account)) ? 'booked' : ALREADY;
    }
    if (wishes.dismiss && isKnown && wishes.payment === undefined)
      return `not done: ${orphan.direction === 'paid' ? 'book' : 'credit'} it, or name it`;
    if (wishes.dismiss) return (await reconciling.dismiss(orphan)) ? 'left as it is' : ALREADY;
    return undefined;
  } catch (error) {
    if (!(error instanceof CannotReconcileError)) throw error;
    return `not done: ${error.message}`;
  }
}

const ALREADY = 'dealt with by another process';

function describe({ direction, paymentHash, amountMsat, feeMsat, pending, happenedAt }: Orphan, belonging: Belonging): string {
  const when = happenedAt ? ` on ${happenedAt.toISOString()}` : '';
  const fee = direction === 'paid' ? ` and a fee of ${feeMsat} msat` : '';
  const still = pending ? ', still under way' : '';
  const whose =
    'unknown' in belonging
      ? `whose it is is not known: ${belonging.unknown}`
      : 'accountId' in belonging
        ? `of account ${belonging.accountId}`
        : `of the payer with key row ${belonging.payerKeyId}`;
  return `${direction} ${amountMsat} msat${fee}${when}${still}, payment ${paymentHash.toString('hex')}: ${whose}`;
}

main().catch((error: unknown) => {
  // A mistake of the operator's is told in a sentence, not with a stack.
  const told = error instanceof ConfigError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(told ? (error as Error).message : error);
  process.exitCode = 2;
});
