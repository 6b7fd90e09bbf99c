import { authenticatedLndGrpc, getChannelBalance, getWalletInfo } from 'lightning';
import type { Msat } from '../../amount.ts';
import { msat } from '../../amount.ts';
import { withDeadline } from '../deadline.ts';
import type { Network } from '../wallet.ts';
import { CHANNEL_BALANCE } from './lnd-books.ts';
import { lightningUnavailable } from './lnd-failure.ts';
import { permits } from './lnd-macaroon.ts';
import { networkOf } from './lnd-network.ts';

export interface LndProbeOptions {
  readonly socket: string;
  readonly macaroon: Buffer;
  readonly cert?: Buffer | undefined;
}

/** How an LND does, by its own word. */
export interface LndProbe {
  readonly nodeId: string;
  /** Undefined for a chain that is not Bitcoin's. */
  readonly network: Network | undefined;
  readonly version: string;
  readonly syncedToChain: boolean;
  readonly activeChannels: number;
  /** What it can still receive; null where the macaroon does not permit to ask. */
  readonly receivableMsat: Msat | null;
}

const DEADLINE_MS = 8_000;

/** Looks at an LND once and remembers nothing. Rejects with GatewayError `lightning_unavailable` where it cannot be asked. */
export async function probeLnd({ socket, macaroon, cert }: LndProbeOptions): Promise<LndProbe> {
  const { lnd } = authenticatedLndGrpc({ socket, macaroon: macaroon.toString('hex'), ...(cert && { cert: cert.toString('base64') }) });
  try {
    const info = await withDeadline(getWalletInfo({ lnd }), DEADLINE_MS);
    const balance = permits(macaroon, CHANNEL_BALANCE) ? await withDeadline(getChannelBalance({ lnd }), DEADLINE_MS) : null;
    return {
      nodeId: info.public_key,
      network: networkOf(info.chains),
      version: info.version,
      syncedToChain: info.is_synced_to_chain,
      activeChannels: info.active_channels_count,
      receivableMsat: balance && msat(BigInt(balance.inbound_mtokens ?? (balance.inbound ?? 0) * 1000)),
    };
  } catch (error) {
    throw lightningUnavailable(error);
  } finally {
    for (const client of Object.values(lnd as unknown as Record<string, { close?(): void }>)) client.close?.();
  }
}
