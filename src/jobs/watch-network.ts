import type { Pool } from '../db/postgres.ts';
import { depositNetwork } from '../ledger/write-off.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { Logger } from '../log.ts';

export interface NetworkWatch {
  pool: Pool;
  wallet: Pick<Wallet, 'network'>;
  /** What serves on these balances. */
  gateway: { suspended: string | null };
  log: Logger;
}

/**
 * Serves nothing while the balances are of another network than this gateway's wallet. Otherwise real
 * providers would be paid for with play money that another gateway on the same database took. This is watched
 * because at the start there may have been no balances yet.
 */
export async function watchNetwork({ pool, wallet, gateway, log }: NetworkWatch): Promise<void> {
  const network = await depositNetwork(pool);
  if (network === null || network === wallet.network) {
    gateway.suspended = null;
    return;
  }
  gateway.suspended = "This gateway's wallet is on another network than the balances.";
  log.error(
    { balances: network, wallet: wallet.network },
    'nothing is served: two gateways of different networks share this database; stop one, or book the balances away with `npm run write-off`',
  );
}
