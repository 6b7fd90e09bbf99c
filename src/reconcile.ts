import { parseArgs } from 'node:util';
import { withWallet } from './command-wallet.ts';
import { loadConfig } from './config/config.ts';
import { ConfigError } from './config/config-error.ts';
import { Deciding, type Undecided } from './deciding.ts';
import { openDatabase } from './db/open-database.ts';
import { createPool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import { msat } from './amount.ts';
import { compareBooks } from './node-audit/audit-node.ts';
import type { Orphan } from './invoices/orphans.ts';
import type { Wallet } from './lightning/wallet.ts';
import { createLog, type Logger } from './log.ts';
import { CannotReconcileError, Reconciling, type Belonging } from './operator/reconciling.ts';

const USAGE = `npm run reconcile                                    lists what the node has in its books and the ledger has not
npm run reconcile -- --credit                        credits the payments received that say by their seal whose they are
npm run reconcile -- --credit --payment <hash> --account <id>   credits one to an account of your choice
npm run reconcile -- --book                          books the payments made whose withdrawals count as failed
npm run reconcile -- --book --payment <hash> --account <id>     books one as a withdrawal of an account of your choice
npm run reconcile -- --dismiss [--payment <hash>]    leaves as it is what is nobody's known (or the one named): withdrawals go on
npm run reconcile -- --withdrawal <id> --paid [--fee-msat <n>]  books one that its node cannot tell of any more
npm run reconcile -- --withdrawal <id> --release     gives back what is held for one that its node cannot tell of any more
npm run reconcile -- --gone <node>                   says that a node never comes back: its withdrawals can be decided then`;

/**
 * `npm run reconcile`: brings the ledger to agree with its node's books after the restore of a backup or the like, beside a running gateway
 * or without one. Lists what differs, and does with it what its flags say. While something is left, no withdrawal begins; exits with 1 then.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...{ credit: { type: 'boolean' }, book: { type: 'boolean' }, dismiss: { type: 'boolean' } },
      ...{ payment: { type: 'string' }, account: { type: 'string' }, help: { type: 'boolean' } },
      ...{ withdrawal: { type: 'string' }, paid: { type: 'boolean' }, release: { type: 'boolean' } },
      ...{ 'fee-msat': { type: 'string' }, gone: { type: 'string' } },
    },
  });
  if (values.help === true || !isPlain(values)) {
    console.log(USAGE);
    process.exitCode = values.help === true ? 0 : 2;
    return;
  }
  const config = loadConfig();
  const log = createLog('warn');
  const database = await openDatabase(config, log, { join: true });
  const pool = createPool({ connectionString: database.connectionString, max: 2 });
  try {
    process.exitCode = await withWallet(config, { pool, database }, async (wallet, settings, openOld) => {
      const reconciling = new Reconciling({ pool, wallet, roots: settings.secretKeys, dailyBudgetPicoUsd: settings.DAILY_BUDGET_USD });
      await compare(wallet);
      const old = await openOld();
      const lacksOne = [settings.LND_OLD_SOCKET, settings.NWC_OLD_URL].filter(Boolean).length > old.length;
      const deciding = new Deciding({ pool, wallets: [wallet, ...old], lacksOne });
      const [left, undecided] = [await reconcile(reconciling, values), await decide(deciding, values, log)];
      return left === 0 && undecided === 0 ? 0 : 1;
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
  withdrawal?: string | undefined;
  paid?: boolean | undefined;
  release?: boolean | undefined;
  'fee-msat'?: string | undefined;
  gone?: string | undefined;
}

/** Whether the flags go together: what moves money is named in full, and nothing is guessed. */
function isPlain({ account, payment, withdrawal, paid, release, 'fee-msat': fee }: Wishes): boolean {
  if (account !== undefined && payment === undefined) return false;
  if (fee !== undefined && (!paid || !/^\d{1,15}$/.test(fee))) return false;
  return withdrawal === undefined ? !paid && !release : paid !== release;
}

/** Gives how many are left. */
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
  return left;
}

/** Ends what only the operator's word can end, as wished. Gives how many withdrawals still wait for that, and wishes were refused. */
async function decide(deciding: Deciding, { gone, withdrawal: id, paid, 'fee-msat': fee }: Wishes, log: Logger): Promise<number> {
  const isGone = await tellOutcome(async () => {
    if (gone === undefined) return undefined;
    if (!(await deciding.giveUp(gone))) return `${gone} is known to be gone`;
    log.warn({ nodeId: gone }, "a node is gone for good, by the operator's word");
    return `${gone} is gone for good`;
  });
  const isDecided = await tellOutcome(async () => {
    if (id === undefined) return undefined;
    const feeMsat = paid ? msat(BigInt(fee ?? 0)) : undefined;
    if (!(await deciding.decide(id, { paid: feeMsat }))) return `withdrawal ${id} is final already`;
    const outcome = paid ? 'booked as paid' : 'released';
    log.warn(
      { withdrawalId: id, feeMsat: feeMsat === undefined ? undefined : String(feeMsat) },
      `a withdrawal was ${outcome}, by the operator's word`,
    );
    return `withdrawal ${id}: ${outcome}`;
  });
  for (const { nodeId, invoices, withdrawals } of await deciding.elsewhere()) {
    console.log(`${invoices} invoices and ${withdrawals} withdrawals are open with node ${nodeId}, which is not asked.`);
    if (invoices > 0)
      console.log(`  Name it as the old one (LND_OLD_SOCKET or NWC_OLD_URL), or, where it never comes back: --gone ${nodeId}`);
  }
  const undecided = await deciding.undecided();
  for (const withdrawal of undecided) console.log(describeUndecided(withdrawal));
  if (undecided.length > 0) console.log('Ask who was to be paid, or look at the channels: --withdrawal <id> --paid, or --release.');
  return undecided.length + [isGone, isDecided].filter((done) => !done).length;
}

/** Says what was done, or why it was not. Gives false where it was refused. */
async function tellOutcome(work: () => Promise<string | undefined>): Promise<boolean> {
  try {
    const done = await work();
    if (done !== undefined) console.log(done);
    return true;
  } catch (error) {
    if (!(error instanceof CannotReconcileError)) throw error;
    console.log(`not done: ${error.message}`);
    return false;
  }
}

function describeUndecided({ id, accountId, amountMsat, feeLimitMsat, paymentHash, createdAt, nodeId, forgotten }: Undecided): string {
  const why = forgotten ? 'its node had the payment and has no record of it any more' : `its node ${nodeId} is not asked`;
  const held = `${amountMsat + feeLimitMsat} msat of account ${accountId} held since ${createdAt.toISOString()}`;
  return `withdrawal ${id}: ${held}, payment ${paymentHash.toString('hex')}: ${why}`;
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
