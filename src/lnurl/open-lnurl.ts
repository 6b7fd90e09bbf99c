import type { Config } from '../config/config.ts';
import type { Pool } from '../db/postgres.ts';
import type { Funding } from '../funding.ts';
import type { Wallet } from '../lightning/wallet.ts';
import { Handles } from './handles.ts';
import { LightningAddresses } from './lightning-addresses.ts';

export interface OpenLnurlDeps {
  pool: Pool;
  wallet: Pick<Wallet, 'network'>;
  funding: Funding;
  config: Pick<Config, 'KEYLESS_INVOICES_PER_IP_PER_HOUR'>;
}

/** What the gateway does for wallets by LNURL. */
export interface Lnurl {
  readonly addresses: LightningAddresses;
}

export function openLnurl({ pool, wallet, funding, config }: OpenLnurlDeps): Lnurl {
  const handles = new Handles(pool);
  return {
    addresses: new LightningAddresses({ handles, funding, wallet, invoicesAnHour: config.KEYLESS_INVOICES_PER_IP_PER_HOUR }),
  };
}
