import type { Request } from 'express';
import { addressIn } from './client-address.ts';

/** What the trusted proxies say of a request: who sent it, and what it was sent to. */
interface Hop {
  address: string | null;
  proto?: string | undefined;
  host?: string | undefined;
}

type Trust = (address: string, hop: number) => boolean;

const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

/**
 * The address that a request came from: its peer's or, where that is a trusted proxy, the last one that no trusted proxy has, by
 * `X-Forwarded-For` or `Forwarded` (RFC 7239). Where a trusted proxy names no address, or the two contradict each other, the request counts
 * as that proxy's own: a client that can make the proxies pass on what it likes gets nothing but a share with all others who do.
 */
export function clientOf(req: Request): string | undefined {
  const peer = req.socket.remoteAddress;
  const trust = trustOf(req);
  if (peer === undefined || !trust(peer, 0)) return peer;
  const given = req.headers['x-forwarded-for'];
  const { forwarded } = req.headers;
  const byList = given === undefined ? null : outermost(peer, String(given).split(',').map(hopAt), trust).address;
  const byElements = forwarded === undefined ? null : outermost(peer, hopsOf(forwarded), trust).address;
  if (byList !== null && byElements !== null && byList !== byElements) return peer;
  return byList ?? byElements ?? peer;
}

/** The scheme and the host that a request was sent to, by the trusted proxies' word where there are any. */
export function targetOf(req: Request): { protocol: string; host: string | undefined } {
  const { host: asked } = req.headers;
  // Whatever stands there is written into pages, links and codes.
  const own = { protocol: 'encrypted' in req.socket ? 'https' : 'http', host: asked !== undefined && HOST.test(asked) ? asked : undefined };
  const peer = req.socket.remoteAddress;
  const trust = trustOf(req);
  if (peer === undefined || !trust(peer, 0)) return own;
  const { forwarded } = req.headers;
  const element = forwarded === undefined ? null : outermost(peer, hopsOf(forwarded), trust);
  const proxies = trustedProxies(req, peer, trust);
  const saidOf = (name: string) => outermostOf(req.headers[name], proxies);
  const protocol = [saidOf('x-forwarded-proto'), element?.proto].find((said) => said === 'https' || said === 'http');
  const host = [saidOf('x-forwarded-host'), element?.host].find((said) => said !== undefined && HOST.test(said));
  return { protocol: protocol ?? own.protocol, host: host ?? own.host };
}

/** The hop that the outermost trusted proxy wrote: whatever stands before that, its client may have made up. */
function outermost(peer: string, hops: readonly Hop[], trust: Trust): Hop {
  let last: Hop = { address: peer };
  for (const [distance, hop] of hops.toReversed().entries()) {
    if (hop.address === null) return { ...hop, address: last.address };
    last = hop;
    if (!trust(hop.address, distance + 1)) break;
  }
  return last;
}

function hopAt(text: string): Hop {
  return { address: addressIn(text) };
}

/** The elements of `Forwarded`, in their order: `for="[2001:db8::1]:4711";proto=https;host=a.example, for=…`. */
function hopsOf(header: string): Hop[] {
  return splitOutsideQuotes(header, ',').map((element) => {
    const pairs = new Map(splitOutsideQuotes(element, ';').map(pairIn));
    return { address: addressIn(pairs.get('for') ?? ''), proto: pairs.get('proto')?.toLowerCase(), host: pairs.get('host') };
  });
}

function pairIn(text: string): [name: string, value: string] {
  const equals = text.indexOf('=');
  const value = text.slice(equals + 1).trim();
  const unquoted = /^"(.*)"$/s.exec(value)?.[1]?.replaceAll(/\\(.)/gs, '$1');
  return [equals < 0 ? '' : text.slice(0, equals).trim().toLowerCase(), unquoted ?? value];
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    if (quoted && text[at] === '\\') at++;
    else if (text[at] === '"') quoted = !quoted;
    else if (!quoted && text[at] === separator) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)];
}

/** How many trusted proxies a request came through, its peer included: each adds the address that it heard the request from. */
function trustedProxies(req: Request, peer: string, trust: Trust): number {
  const list = String(req.headers['x-forwarded-for'] ?? '')
    .split(',')
    .map(hopAt);
  const untrusted = list.toReversed().findIndex(({ address }, distance) => address === null || !trust(address, distance + 1));
  return 1 + (untrusted < 0 ? list.length : untrusted);
}

/**
 * What the outermost trusted proxy wrote into a header to which each adds its own value, or which the last one writes anew. What stands before
 * that, a client may have sent along.
 */
function outermostOf(header: string | string[] | undefined, proxies: number): string | undefined {
  const values = header === undefined ? [] : String(header).split(',');
  return values[Math.max(0, values.length - proxies)]?.trim().toLowerCase();
}

/** Express compiles it from `TRUSTED_PROXIES`. A request that has not come by way of the app trusts nobody. */
function trustOf(req: Request): Trust {
  const app = req.app as Request['app'] | undefined;
  return (app?.get('trust proxy fn') as Trust | undefined) ?? (() => false);
}
