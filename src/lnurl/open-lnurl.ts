import type { Config } from '../config/config.ts';
import type { Pool } from '../db/postgres.ts';
import type { Funding } from '../funding.ts';
import type { Wallet } from '../lightning/wallet.ts';
import { Handles } from './handles.ts';
import { LightningAddresses } from './lightning-addresses.ts';
import { WithdrawCodes } from './withdraw-codes.ts';
import type { Withdrawing } from '../withdrawing.ts';

export interface OpenLnurlDeps {
  pool: Pool;
  wallet: Pick<Wallet, 'network'>;
  funding: Funding;
  withdrawing: Withdrawing;
  config: Pick<Config, 'KEYLESS_INVOICES_PER_IP_PER_HOUR'>;
}

/** What the gateway does for wallets by LNURL. */
export interface Lnurl {
  readonly addresses: LightningAddresses;
  readonly withdrawCodes: WithdrawCodes;
}

export function openLnurl({ pool, wallet, funding, withdrawing, config }: OpenLnurlDeps): Lnurl {
  const handles = new Handles(pool);
  return {
    addresses: new LightningAddresses({ handles, funding, wallet, invoicesAnHour: config.KEYLESS_INVOICES_PER_IP_PER_HOUR }),
    withdrawCodes: new WithdrawCodes({ pool, withdrawing, wallet }),
  };
}
