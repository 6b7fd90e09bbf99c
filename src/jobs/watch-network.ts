import type { Pool } from '../db/postgres.ts';
import { depositNetwork } from '../ledger/write-off.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { Observe } from '../observation.ts';

export interface NetworkWatch {
  pool: Pool;
  wallet: Pick<Wallet, 'network'>;
  /** What serves on these balances. */
  gateway: { suspended: string | null };
  observe: Observe;
}

/**
 * Serves nothing while the balances are of another network than this gateway's wallet. Otherwise real
 * providers would be paid for with play money that another gateway on the same database took. This is watched
 * because at the start there may have been no balances yet.
 */
export async function watchNetwork({ pool, wallet, gateway, observe }: NetworkWatch): Promise<void> {
  const network = await depositNetwork(pool);
  if (network === null || network === wallet.network) {
    gateway.suspended = null;
    return;
  }
  gateway.suspended = "This gateway's wallet is on another network than the balances.";
  observe({ kind: 'suspended', balances: network, wallet: wallet.network });
}
