import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/config-error.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import type { Notifications } from '../db/notify.ts';
import type { Pool } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Observe } from '../observation.ts';
import { reasonOf } from './lnd/lnd-failure.ts';
import { SimulatedWallet } from './simulated/simulated.ts';
import type { Wallet } from './wallet.ts';

export interface OpenWalletDeps {
  pool: Pool;
  notifications: Notifications;
  /** The simulated node's key is derived from it. */
  root: RootSecret;
  log: Logger;
  observe: Observe;
}

/**
 * The wallet that LIGHTNING_BACKEND names. A node that is away is no failure if the database knows the node;
 * otherwise throws a ConfigError that says what is wrong. The other backends' libraries are not loaded: LND's
 * alone takes a fifth of the start.
 */
export async function openWallet(config: Config, deps: OpenWalletDeps): Promise<Wallet> {
  switch (config.LIGHTNING_BACKEND) {
    case 'simulated':
      return new SimulatedWallet(deps);
    case 'lnd':
      return openLnd(config, deps);
    case 'nwc':
      return openNwc(config, deps);
  }
}

/**
 * The earlier wallets that the configuration still names. They are asked about their own invoices and
 * withdrawals until those have ended, and about nothing else. A wallet that is away and was never met with
 * these credentials is reported and left out.
 */
export async function openOldWallets(config: Config, { pool, log, observe }: OpenWalletDeps, current: Wallet): Promise<Wallet[]> {
  const { LND_OLD_SOCKET: socket, LND_OLD_MACAROON: macaroon, LND_OLD_CERT: cert, NWC_OLD_URL: url } = config;
  const opened: (Wallet | undefined)[] = await Promise.all([
    socket && macaroon
      ? openOld('LND_OLD_SOCKET', observe, async () =>
          (await import('./lnd/lnd.ts')).createLndWallet({ socket, macaroon, cert, pool, log, observe, follows: true }),
        )
      : undefined,
    url
      ? openOld('NWC_OLD_URL', observe, async () => (await import('./nwc/nwc.ts')).createNwcWallet({ url, pool, log, observe }))
      : undefined,
  ]);
  const old = opened.filter((wallet) => wallet !== undefined);
  const others = old.filter(({ nodeId }) => nodeId !== current.nodeId);
  await Promise.all(old.filter((wallet) => !others.includes(wallet)).map((wallet) => wallet.close()));
  return others;
}

async function openOld(setting: string, observe: Observe, open: () => Promise<Wallet>): Promise<Wallet | undefined> {
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof GatewayError || (error instanceof ConfigError && error.cause instanceof GatewayError))) throw error;
    observe({ kind: 'old_wallet_away', err: error, setting });
    return undefined;
  }
}

async function openNwc({ NWC_URL }: Config, { pool, log, observe }: OpenWalletDeps): Promise<Wallet> {
  if (!NWC_URL) throw new ConfigError('NWC_URL is required with LIGHTNING_BACKEND nwc');
  const { createNwcWallet } = await import('./nwc/nwc.ts');
  return createNwcWallet({ url: NWC_URL, pool, log, observe });
}

async function openLnd(config: Config, { pool, log, observe }: OpenWalletDeps): Promise<Wallet> {
  const { LND_SOCKET, LND_MACAROON, LND_CERT, LND_PRIVATE_HINTS, WITHDRAWALS } = config;
  if (!LND_SOCKET || !LND_MACAROON) throw new ConfigError('LND_SOCKET and LND_MACAROON are required with LIGHTNING_BACKEND lnd');
  const { createLndWallet } = await import('./lnd/lnd.ts');
  try {
    return await createLndWallet({
      socket: LND_SOCKET,
      macaroon: LND_MACAROON,
      cert: LND_CERT,
      privateHints: LND_PRIVATE_HINTS,
      pays: WITHDRAWALS,
      pool,
      log,
      observe,
    });
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    throw new ConfigError(`LND_SOCKET, LND_MACAROON, LND_CERT: ${reasonOf(error)} (${(error.cause as Error | undefined)?.message})`, {
      cause: error,
    });
  }
}
