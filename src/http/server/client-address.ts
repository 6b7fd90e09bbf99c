import { isIPv4, isIPv6 } from 'node:net';
import type { Share } from '../../window-limit.ts';

/** Where nothing is known of a sender's address: all such are one. */
const UNKNOWN = 'unknown';

/** How wide the prefixes are that limits count by, narrowest first, and how many times the limit of one sender each may use. */
const IPV4_PREFIXES = [
  { octets: 4, times: 1 },
  { octets: 3, times: 8 },
  { octets: 2, times: 64 },
];
const IPV6_PREFIXES = [
  { bits: 64, times: 1 },
  { bits: 56, times: 2 },
  { bits: 48, times: 4 },
];

/**
 * The address in what a proxy writes for one, without its port, brackets, quotes and zone: `198.51.100.7:50123`, `[2001:db8::1]:4711`,
 * `"[2001:db8::1]"`. An IPv4 address mapped into IPv6 is the IPv4 address. Null for what names no address, as `unknown` and the obfuscated
 * identifiers of RFC 7239 do.
 */
export function addressIn(text: string): string | null {
  const bare = text
    .trim()
    .replace(/^"(.*)"$/, '$1')
    .trim();
  const bracketed = /^\[([^\]]*)\](?::[\w.-]+)?$/.exec(bare)?.[1];
  const address = (bracketed ?? (isAddress(bare) ? bare : bare.replace(/:\d{1,5}$/, ''))).replace(/%.*$/, '');
  if (isIPv4(address)) return bracketed === undefined ? address : null;
  if (!isIPv6(address)) return null;
  const groups = groupsOf(address);
  const [high = 0, low = 0] = groups.slice(6).map((group) => parseInt(group, 16));
  const isMapped = groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff';
  return isMapped ? [high >> 8, high & 255, low >> 8, low & 255].join('.') : groups.join(':');
}

/**
 * What counts as one sender for limits per address: an IPv4 address, or the /64 of an IPv6 one, since a subscriber has
 * a whole /64 to himself. What is no address stands for itself.
 */
export function clientAddress(text: string | undefined): string {
  return sharesOf(text)[0]?.name ?? UNKNOWN;
}

/**
 * The sender and the wider networks that it is part of, narrowest first: who has a whole /48 has 65,536 times a /64, and the wider network
 * may use a few times what one sender may.
 */
export function sharesOf(text: string | undefined): Share[] {
  const address = text === undefined ? null : addressIn(text);
  if (address === null) return [{ name: text || UNKNOWN, times: 1 }];
  if (isIPv4(address)) {
    const octets = address.split('.');
    return IPV4_PREFIXES.map((prefix) => ({
      name: octets.slice(0, prefix.octets).join('.') + ipv4Tail(prefix.octets),
      times: prefix.times,
    }));
  }
  const groups = groupsOf(address).map((group) => parseInt(group, 16));
  return IPV6_PREFIXES.map(({ bits, times }) => ({ name: ipv6Prefix(groups, bits), times }));
}

/** Whether an address is this machine's own. */
export function isLoopback(text: string | undefined): boolean {
  const address = text === undefined ? null : addressIn(text);
  return address !== null && (address.startsWith('127.') || address === '0:0:0:0:0:0:0:1');
}

function isAddress(text: string): boolean {
  return isIPv4(text) || isIPv6(text);
}

function ipv4Tail(octets: number): string {
  return octets === 4 ? '' : `${'.0'.repeat(4 - octets)}/${octets * 8}`;
}

/** `bits` is from 48 to 64. */
function ipv6Prefix(groups: readonly number[], bits: number): string {
  const [a = 0, b = 0, c = 0, d = 0] = groups;
  const kept = bits === 48 ? 0 : (d >> (64 - bits)) << (64 - bits);
  return `${[a, b, c, kept].map((group) => group.toString(16)).join(':')}::/${bits}`;
}

/** The eight groups of an IPv6 address, without leading zeros. */
function groupsOf(address: string): string[] {
  // The URL parser brings every spelling, dotted tails included, into one.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const before = head ? head.split(':') : [];
  const after = tail ? tail.split(':') : [];
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
}
