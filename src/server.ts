import { loadConfig, withSecretKey, type Config } from './config/config.ts';
import { ConfigError } from './config/config-error.ts';
import { EmbeddedPostgresError } from './db/embedded/embedded-error.ts';
import { migrate } from './db/migrate.ts';
import { openDatabase } from './db/open-database.ts';
import { greeting } from './greeting.ts';
import { createLog } from './log.ts';
import { LogOutput } from './log-output.ts';
import { startServer, type RunningServer } from './start-server.ts';

/** Ctrl-C reaches the gateway from the terminal and once more through npm: within this, a repeat is the same wish. */
const SAME_WISH_MS = 500;

/**
 * How long a gateway that is replaced still takes requests on open connections, telling each to ask elsewhere from now
 * on: a load balancer uses all that it needs within a second. Nobody is behind the terminal that Ctrl-C comes from.
 */
const LINGER_MS = 1000;

/**
 * The program: starts everything, reads its configuration again on SIGHUP, and ends in order on SIGTERM or SIGINT. A second wish for that
 * ends it at once.
 */
async function main(): Promise<void> {
  const bare = loadConfig();
  const output = new LogOutput();
  const log = createLog(bare.LOG_LEVEL, output);
  const database = await openDatabase(bare, log);
  let server: RunningServer;
  let config: Config;
  try {
    config = withSecretKey(bare, database.dataDir);
    await migrate(database.connectionString);
    server = await startServer({
      config,
      log,
      connectionString: database.connectionString,
      logLinesDropped: () => output.droppedEver,
    });
  } catch (error) {
    await database.stop();
    throw error;
  }
  console.log(greeting({ config, database, server }));
  let stoppingSince: number | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince > SAME_WISH_MS) process.exit(1);
      return;
    }
    stoppingSince = performance.now();
    log.info({ signal, underWay: server.gateway.requests.underWay }, 'stopping');
    server
      .close({ lingerMs: signal === 'SIGTERM' ? LINGER_MS : 0 })
      .then(() => database.stop())
      .then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, 'did not stop cleanly');
          process.exit(1);
        },
      );
  };
  // A terminal that closes sends it too: a gateway goes on without one.
  process.on('SIGHUP', () => {
    if (stoppingSince === undefined) void server.reload(() => loadConfig());
  });
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

main().catch((error: unknown) => {
  // A mistake of the operator's is told in a sentence, not with a stack.
  const told = error instanceof ConfigError || error instanceof EmbeddedPostgresError || (error as Error).name === 'MigrationError';
  console.error(told ? `Pura cannot start. ${(error as Error).message}` : error);
  process.exit(1);
});
