import { BlockList, isIP, isIPv6 } from 'node:net';

/** Which addresses of relays may be connected to, where the relay's host was chosen by a stranger. */
export interface RelayRules {
  /** Also loopback, and there without TLS: for relays of tests and of a developer's own machine. */
  readonly allowLoopback: boolean;
}

/** What is no single public host (IANA's registries of special-purpose addresses, RFC 6890). */
const SPECIAL_IPV4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const;

/** All that is public is within 2000::/3; these parts of it are not, or carry an IPv4 address that nobody would check. */
const SPECIAL_IPV6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

const special = new BlockList();
for (const [network, prefix] of SPECIAL_IPV4) special.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of SPECIAL_IPV6) special.addSubnet(network, prefix, 'ipv6');

const globalUnicast = new BlockList();
globalUnicast.addSubnet('2000::', 3, 'ipv6');

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether an address (IPv4 or IPv6, without brackets) is one that a relay of a stranger's choice may have. Anything else: false. */
export function isAllowedAddress(address: string, { allowLoopback }: RelayRules): boolean {
  // One with a zone is of this machine's own links.
  if (isIP(address) === 0 || address.includes('%')) return false;
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  if (allowLoopback && loopback.check(address, family)) return true;
  // An IPv4 address in the clothes of IPv6 (mapped, translated, compatible) is outside 2000::/3.
  if (family === 'ipv6' && !globalUnicast.check(address, 'ipv6')) return false;
  return !special.check(address, family);
}
