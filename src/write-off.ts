import { loadConfig } from './config/config.ts';
import { openDatabase } from './db/open-database.ts';
import { createPool } from './db/postgres.ts';
import { depositNetwork, UnderWayError, writeOff, WrongNetworkError } from './ledger/write-off.ts';
import { createLog } from './log.ts';

/**
 * `npm run write-off`: books all balances away, so that the gateway can take deposits from another Lightning network.
 * Balances of mainnet are money that people paid: they need the network's name as well, `npm run write-off -- mainnet`.
 */
const config = loadConfig();
const database = await openDatabase(config, createLog('warn'));
const pool = createPool({ connectionString: database.connectionString, max: 1 });
try {
  const network = await depositNetwork(pool);
  if (network === null) {
    console.log('Nothing to write off: this database has no deposits.');
  } else if (network === 'mainnet' && process.argv[2] !== network) {
    console.error('The balances are real money. To book them away all the same: npm run write-off -- mainnet');
    process.exitCode = 1;
  } else {
    const { accounts, writtenOffMsat } = await writeOff(pool, network);
    console.log(`Wrote off ${writtenOffMsat} msat of ${network} in ${accounts} accounts.`);
  }
} catch (error) {
  if (!(error instanceof UnderWayError || error instanceof WrongNetworkError)) throw error;
  console.error(`Nothing was written off: ${error.message}.`);
  process.exitCode = 1;
} finally {
  await pool.end();
  await database.stop();
}
