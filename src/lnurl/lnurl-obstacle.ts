import type { Network } from '../lightning/wallet.ts';

const LOOPBACK = /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/**
 * Why nothing of LNURL is offered under an address of the gateway, in a sentence for people; null where it is. Wallets need https with a real
 * certificate, or an onion (LUD-01). On loopback, `http` does for trying it out, and play money is offered there only.
 * @param origin scheme and host as clients reach the gateway.
 */
export function lnurlObstacle(origin: string, network: Network): string | null {
  const { protocol, hostname } = URL.canParse(origin) ? new URL(origin) : { protocol: '', hostname: '' };
  if (LOOPBACK.test(hostname)) return null;
  if (network === 'simulated') return 'This gateway uses play money, which no wallet can send or receive.';
  if (protocol === 'https:' || hostname.endsWith('.onion')) return null;
  return 'This gateway is not served over https, which wallets need.';
}
