import { listsPayments, missingMethods, networkOf, spendingMethods, walletInfo } from './nwc-answers.ts';
import { connect } from './nwc.ts';
import { NwcRequests } from './nwc-requests.ts';
import type { Network } from '../wallet.ts';

/** How a wallet behind Nostr Wallet Connect does, by its own word. */
export interface NwcProbe {
  readonly network: Network;
  /** What the connection lacks for the gateway's use. */
  readonly missing: readonly string[];
  /** By what the wallet could be emptied. */
  readonly spending: readonly string[];
  readonly lists: boolean;
}

const DEADLINE_MS = 8_000;

/** Looks at a wallet once and remembers nothing. Rejects with GatewayError `lightning_unavailable`, or ConfigError for a malformed connection. */
export async function probeNwc(url: string): Promise<NwcProbe> {
  const requests = new NwcRequests(connect(url), DEADLINE_MS);
  try {
    const info = await requests.ask('get_info', {}, walletInfo);
    return {
      network: networkOf(info),
      missing: missingMethods(info),
      spending: spendingMethods(info),
      lists: listsPayments(info),
    };
  } finally {
    requests.close();
  }
}
