import { ConfigError, withSecretKey, type Config } from './config.ts';
import { createNotifications } from './db/notify.ts';
import type { OpenDatabase } from './db/open-database.ts';
import type { Pool } from './db/postgres.ts';
import { openWallet } from './lightning/open-wallet.ts';
import type { Wallet } from './lightning/wallet.ts';
import { createLog } from './log.ts';

/**
 * Opens the wallet of the configuration for a command, which tells what went wrong in sentences instead of a log, and closes it after
 * `work`. Rejects with ConfigError where it cannot be opened.
 */
export async function withWallet<T>(
  config: Config,
  { pool, database: { connectionString, dataDir } }: { pool: Pool; database: OpenDatabase },
  work: (wallet: Wallet, settings: Config) => Promise<T>,
): Promise<T> {
  const notifications = createNotifications(connectionString);
  try {
    const settings = withSecretKey(config, dataDir);
    const root = settings.secretKeys.at(-1);
    if (!root) throw new ConfigError('SECRET_KEY is missing');
    const wallet = await openWallet(settings, { pool, notifications, root, log: createLog('silent') });
    try {
      return await work(wallet, settings);
    } finally {
      await wallet.close();
    }
  } finally {
    await notifications.close();
  }
}
