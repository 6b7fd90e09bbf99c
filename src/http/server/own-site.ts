import type { Request } from 'express';
import type { Config } from '../../config/config.ts';
import { GatewayError } from '../../errors.ts';
import { targetOf } from './forwarded.ts';

/** What decides whose requests may move play money. */
export type OwnSiteConfig = Pick<Config, 'PUBLIC_URL' | 'HOST' | 'ALLOW_SIMULATED'>;

/** What decides which pages may have an account made. */
export type OwnPageConfig = Pick<Config, 'PUBLIC_URL' | 'HOST' | 'TRUSTED_PROXIES' | 'CORS_ORIGINS'>;

const LOOPBACK = /^(localhost|(.+\.)?localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i;

/**
 * Lets a request pass that comes from the gateway's own pages or from no page at all: another site that a developer visits must not
 * act on the gateway on his machine, neither straight away nor under a name of its own that points there (DNS rebinding).
 * Throws GatewayError `not_permitted`.
 */
export function refuseOtherSites(req: Request, config: OwnSiteConfig): void {
  if (!isOwnHost(req, config)) throw new GatewayError('not_permitted', { message: 'This host name is not one of the gateway.' });
  if (!isOwnPage(req, config)) throw otherSite();
}

/**
 * Refuses what a page of another site asks for in its visitor's name, who shows no credential: else a page could have an account at the
 * address of everybody who looks at it. Programs are no pages, and pages that the operator has named are his own. Throws `not_permitted`.
 */
export function refuseOtherPages(req: Request, config: OwnPageConfig): void {
  const { origin, 'sec-fetch-site': site } = req.headers;
  if ((origin === undefined && site === undefined) || (origin !== undefined && config.CORS_ORIGINS.includes(origin))) return;
  // A name that points to this machine is one of another site's: nobody but this machine reaches a gateway on loopback.
  const isRebound = isLocal(config) && !LOOPBACK.test(hostnameOf(req));
  if (isRebound || !isOwnPage(req, config)) throw otherSite();
}

/** Refuses a form that no page of the gateway's own has sent, whatever the operator allows other origins elsewhere. Throws `not_permitted`. */
export function refuseOtherForms(req: Request, config: OwnPageConfig): void {
  const isRebound = isLocal(config) && !LOOPBACK.test(hostnameOf(req));
  if (isRebound || !isOwnPage(req, config)) throw otherSite();
}

function isLocal({ HOST, PUBLIC_URL, TRUSTED_PROXIES }: OwnPageConfig): boolean {
  return LOOPBACK.test(HOST) && PUBLIC_URL === undefined && TRUSTED_PROXIES.length === 0;
}

function isOwnPage(req: Request, config: Pick<Config, 'PUBLIC_URL'>): boolean {
  const { origin, 'sec-fetch-site': site } = req.headers;
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false;
  // A page without referrer sends the origin `null` with its own forms: the browser's other word has to do there.
  return origin === undefined || (origin === 'null' ? site === 'same-origin' : isOwnOrigin(origin, req, config));
}

function otherSite(): GatewayError {
  return new GatewayError('not_permitted', { message: 'This does not take requests of other sites.' });
}

/** What proxies add to a request, and HTTP/1.0, which some of them speak and no client of today does. */
const FORWARDED = /^(forwarded|via|x-forwarded(-.+)?|x-real-ip|x-(original|envoy|cluster|client)-.+|true-client-ip|(cf|fastly|fly)-.+)$/;

/** Refuses a request that came through a proxy: its sender may be anybody, although it comes from this machine. Throws GatewayError `not_permitted`. */
export function refuseForwarded({ headers, httpVersion }: Pick<Request, 'headers' | 'httpVersion'>): void {
  if (httpVersion === '1.0' || Object.keys(headers).some((name) => FORWARDED.test(name)))
    throw new GatewayError('not_permitted', { message: 'This does not take requests through a proxy.' });
}

function isOwnHost(req: Request, { PUBLIC_URL, HOST, ALLOW_SIMULATED }: OwnSiteConfig): boolean {
  const name = hostnameOf(req);
  if (LOOPBACK.test(name)) return true;
  if (PUBLIC_URL !== undefined) return new URL(PUBLIC_URL).host === targetOf(req).host;
  // Whoever serves play money to other machines on purpose, and names no address, is reached by any.
  return ALLOW_SIMULATED && !LOOPBACK.test(HOST);
}

function isOwnOrigin(origin: string, req: Request, { PUBLIC_URL }: Pick<Config, 'PUBLIC_URL'>): boolean {
  const host = URL.canParse(origin) ? new URL(origin).host : undefined;
  return host !== undefined && (host === targetOf(req).host || (PUBLIC_URL !== undefined && host === new URL(PUBLIC_URL).host));
}

/** The name that a request was sent to, without its port. */
function hostnameOf(req: Request): string {
  return targetOf(req).host?.replace(/:\d+$/, '') ?? '';
}
