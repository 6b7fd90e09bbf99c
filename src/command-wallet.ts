import { withSecretKey, type Config } from './config/config.ts';
import { ConfigError } from './config/config-error.ts';
import { createNotifications } from './db/notify.ts';
import type { OpenDatabase } from './db/open-database.ts';
import type { Pool } from './db/postgres.ts';
import { openOldWallets, openWallet } from './lightning/open-wallet.ts';
import type { Wallet } from './lightning/wallet.ts';
import { createLog } from './log.ts';

/**
 * Opens the wallet of the configuration for a command, which tells what went wrong in sentences instead of a log, and closes it after
 * `work`; those of before only where `work` opens them. Rejects with ConfigError where it cannot be opened.
 */
export async function withWallet<T>(
  config: Config,
  { pool, database: { connectionString, dataDir } }: { pool: Pool; database: OpenDatabase },
  work: (wallet: Wallet, settings: Config, openOld: () => Promise<Wallet[]>) => Promise<T>,
): Promise<T> {
  const notifications = createNotifications(connectionString);
  try {
    const settings = withSecretKey(config, dataDir);
    const root = settings.secretKeys.at(-1);
    if (!root) throw new ConfigError('SECRET_KEY is missing');
    const deps = { pool, notifications, root, log: createLog('silent'), observe: () => {} };
    const wallet = await openWallet(settings, deps);
    const opened = [wallet];
    try {
      return await work(wallet, settings, async () => {
        const old = await openOldWallets(settings, deps, wallet);
        opened.push(...old);
        return old;
      });
    } finally {
      await Promise.all(opened.map((each) => each.close()));
    }
  } finally {
    await notifications.close();
  }
}
