import { loadConfig, withSecretKey } from '../../src/config/config.ts';
import { migrate } from '../../src/db/migrate.ts';
import { openDatabase } from '../../src/db/open-database.ts';
import { greeting } from '../../src/greeting.ts';
import { createLog } from '../../src/log.ts';
import { startServer } from '../../src/start-server.ts';

/** The program, but that owners' wallets may be reached over relays on loopback, which no setting allows. Started by tests, and killed by them. */
const bare = loadConfig();
const log = createLog(bare.LOG_LEVEL);
const database = await openDatabase(bare, log);
const config = withSecretKey(bare, database.dataDir);
const { connectionString } = database;
await migrate(connectionString);
const server = await startServer({ config, log, connectionString, autopay: { payers: { allowLoopback: true } } });
console.log(greeting({ config, database, server }));
