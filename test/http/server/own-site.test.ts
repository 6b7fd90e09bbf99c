import { describe, expect, it } from '@jest/globals';
import type { Request } from 'express';
import { GatewayError } from '../../../src/errors.ts';
import {
  refuseForwarded,
  refuseOtherPages,
  refuseOtherSites,
  type OwnPageConfig,
  type OwnSiteConfig,
} from '../../../src/http/server/own-site.ts';

const LOCAL: OwnSiteConfig = { HOST: '127.0.0.1', PUBLIC_URL: undefined, ALLOW_SIMULATED: false };
const NAMED: OwnSiteConfig = { HOST: '127.0.0.1', PUBLIC_URL: 'https://pura.example', ALLOW_SIMULATED: true };
const OPEN: OwnSiteConfig = { HOST: '0.0.0.0', PUBLIC_URL: undefined, ALLOW_SIMULATED: true };

function passes(config: OwnSiteConfig, host: string, headers: Record<string, string> = {}): boolean {
  const request = { headers: { host, ...headers }, socket: {} } as unknown as Request;
  try {
    refuseOtherSites(request, config);
    return true;
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'not_permitted') return false;
    throw error;
  }
}

describe('requests that may move play money', () => {
  it.each([
    ['loopback by its name', LOCAL, 'localhost:8402', true],
    ['loopback by its address', LOCAL, '127.0.0.1:8402', true],
    ['loopback by its IPv6 address', LOCAL, '[::1]:8402', true],
    ['a name that points to loopback', LOCAL, 'rebound.example:8402', false],
    ['a name that begins like an address', LOCAL, '127.0.0.1.example:8402', false],
    ['a name that ends unlike localhost', LOCAL, 'notlocalhost:8402', false],
    ['no name', LOCAL, '', false],
    ["the operator's own name", NAMED, 'pura.example', true],
    ['another name than the operator gave', NAMED, 'rebound.example', false],
    ['any name where play money is served to other machines on purpose', OPEN, 'pura:8402', true],
  ])('are sent to %s: %#', (_name, config, host, allowed) => {
    expect(passes(config, host)).toBe(allowed);
  });

  it.each<[string, Record<string, string>, boolean]>([
    ['no page', {}, true],
    ['the address bar', { 'sec-fetch-site': 'none' }, true],
    ['an own page', { 'sec-fetch-site': 'same-origin', origin: 'http://localhost:8402' }, true],
    ["an own page's form, which hides its origin", { 'sec-fetch-site': 'same-origin', origin: 'null' }, true],
    ['a sandboxed frame of any site', { origin: 'null' }, false],
    ['another site', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }, false],
    ['another port of this machine', { 'sec-fetch-site': 'same-site', origin: 'http://localhost:3000' }, false],
    ['another site in an old browser', { origin: 'https://evil.example' }, false],
    ['an origin that is none', { origin: '%' }, false],
  ])('come from %s: %#', (_name, headers, allowed) => {
    expect(passes(LOCAL, 'localhost:8402', headers)).toBe(allowed);
  });
});

describe('play money on this machine alone', () => {
  const refused = (headers: Record<string, string>, httpVersion = '1.1') => {
    try {
      refuseForwarded({ headers, httpVersion });
      return false;
    } catch (error) {
      return error instanceof GatewayError && error.code === 'not_permitted';
    }
  };

  it.each([
    ['forwarded', 'for=192.0.2.1'],
    ['via', '1.1 proxy'],
    ['x-forwarded', 'for=192.0.2.1'],
    ['x-forwarded-for', '192.0.2.1'],
    ['x-forwarded-host', 'pura.example'],
    ['x-forwarded-proto', 'https'],
    ['x-real-ip', '192.0.2.1'],
    ['x-client-ip', '192.0.2.1'],
    ['x-cluster-client-ip', '192.0.2.1'],
    ['x-original-host', 'pura.example'],
    ['x-envoy-external-address', '192.0.2.1'],
    ['cf-connecting-ip', '192.0.2.1'],
    ['true-client-ip', '192.0.2.1'],
  ])('does not move for what a proxy says in %s', (name, value) => {
    expect(refused({ host: '127.0.0.1:8402', [name]: value })).toBe(true);
  });

  it('does not move for a proxy that says nothing and speaks HTTP/1.0, as nginx does', () => {
    expect(refused({ host: '127.0.0.1:8402' }, '1.0')).toBe(true);
  });

  it('moves for a program on this machine', () => {
    const headers = {
      host: '127.0.0.1:8402',
      'user-agent': 'curl/8',
      accept: '*/*',
      'content-type': 'application/json',
      'x-request-id': '7',
    };
    expect(refused(headers)).toBe(false);
  });
});

function caught(act: () => void): GatewayError | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error as GatewayError;
  }
}

describe('an account for somebody who shows no credential', () => {
  const config = { HOST: '127.0.0.1', PUBLIC_URL: undefined, TRUSTED_PROXIES: [] as string[], CORS_ORIGINS: ['*'] };
  const served = { ...config, HOST: '0.0.0.0' };
  const named = { ...served, PUBLIC_URL: 'https://pura.example' };
  const listed = { ...served, CORS_ORIGINS: ['https://app.example'] };
  const evil = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };

  it.each<[string, OwnPageConfig, string, Record<string, string>, boolean]>([
    ['a program', config, 'localhost:8402', {}, true],
    ['a program, by any name', config, 'pura:8402', {}, true],
    ['the gateway’s own page', config, 'localhost:8402', { origin: 'http://localhost:8402', 'sec-fetch-site': 'same-origin' }, true],
    ['the gateway’s own page, elsewhere', served, 'pura.example', { origin: 'https://pura.example' }, true],
    ['the gateway’s own page behind a proxy', named, 'inner:8402', { origin: 'https://pura.example' }, true],
    ['a page that the operator has named', listed, 'pura.example', { ...evil, origin: 'https://app.example' }, true],
    ['a page that the operator has not named', listed, 'pura.example', evil, false],
    ['another site, on a developer’s machine', config, 'localhost:8402', evil, false],
    ['another site', named, 'pura.example', evil, false],
    ['another site in an old browser', served, 'pura.example', { origin: 'https://evil.example' }, false],
    ['another site that hides its origin', served, 'pura.example', { 'sec-fetch-site': 'cross-site' }, false],
    ['a sandboxed frame', served, 'pura.example', { origin: 'null' }, false],
    [
      'another port of the same machine',
      config,
      'localhost:8402',
      { origin: 'http://localhost:3000', 'sec-fetch-site': 'same-site' },
      false,
    ],
    ['a name that points to the machine', config, 'evil.example:8402', { origin: 'http://evil.example:8402' }, false],
  ])('asked for by %s: %#', (_name, pageConfig, host, headers, allowed) => {
    const request = { headers: { host, ...headers }, socket: {} } as unknown as Request;
    const refusal = caught(() => refuseOtherPages(request, pageConfig));
    expect(refusal?.code).toBe(allowed ? undefined : 'not_permitted');
  });
});
