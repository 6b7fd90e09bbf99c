import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../src/config/config.ts';
import { ConfigError } from '../src/config/config-error.ts';

const MACAROON = Buffer.from([2, 1, 3, 0xff, 0, 0xfb, 0xff]);
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----';
const lnd = { LND_SOCKET: '127.0.0.1:10009', LND_MACAROON: MACAROON.toString('hex') };
const nwc = { NWC_URL: 'nostr+walletconnect://02?relay=wss://relay.example&secret=00' };
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'pura-config-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function file(name: string, content: string | Buffer): string {
  const written = path.join(directory, name);
  writeFileSync(written, content);
  return written;
}

describe('the Lightning backend', () => {
  it.each([
    ['simulated', {}],
    ['lnd', lnd],
    ['nwc', nwc],
    ['lnd', { ...lnd, ...nwc }],
    ['nwc', { ...lnd, ...nwc, LIGHTNING_BACKEND: 'nwc' }],
    ['simulated', { ...lnd, LIGHTNING_BACKEND: 'simulated' }],
  ])('is %s with %o', (backend, env) => {
    expect(loadConfig(env).LIGHTNING_BACKEND).toBe(backend);
  });

  it.each([
    ['LND_MACAROON', { LND_SOCKET: lnd.LND_SOCKET }],
    ['LND_SOCKET', { LIGHTNING_BACKEND: 'lnd' }],
    ['NWC_URL', { LIGHTNING_BACKEND: 'nwc' }],
    ['LND_SOCKET', { ...lnd, LND_SOCKET: 'localhost' }],
    ['LND_MACAROON', { ...lnd, LND_MACAROON: 'canary!' }],
    ['LND_CERT', { ...lnd, LND_CERT: 'canary!' }],
    ['NWC_URL', { NWC_URL: 'https://canary.example' }],
  ])('cannot start without a usable %s, and the message does not carry its value', (name, env) => {
    const load = () => loadConfig(env);
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(name);
    expect(load).not.toThrow(/canary/);
  });

  it('runs where simulated money may not', () => {
    expect(() => loadConfig({ ...lnd, HOST: '0.0.0.0', NODE_ENV: 'production' })).not.toThrow();
    expect(() => loadConfig({ HOST: '0.0.0.0' })).toThrow(/LIGHTNING_BACKEND/);
  });
});

describe("LND's credentials", () => {
  it.each([
    ['hex', MACAROON.toString('hex')],
    ['base64', MACAROON.toString('base64')],
    ['base64url', MACAROON.toString('base64url')],
    ['wrapped base64', `${MACAROON.toString('base64').slice(0, 4)}\n${MACAROON.toString('base64').slice(4)}\n`],
  ])('may be %s, in the variable or in a file', (_encoding, value) => {
    expect(loadConfig({ ...lnd, LND_MACAROON: value }).LND_MACAROON).toEqual(MACAROON);
    expect(loadConfig({ LND_SOCKET: lnd.LND_SOCKET, LND_MACAROON_FILE: file('encoded', value) }).LND_MACAROON).toEqual(MACAROON);
  });

  it('may be the files that LND writes', () => {
    const env = {
      LND_SOCKET: lnd.LND_SOCKET,
      LND_MACAROON_FILE: file('a.macaroon', MACAROON),
      LND_CERT_FILE: file('tls.cert', `${PEM}\n`),
    };
    const { LND_MACAROON, LND_CERT } = loadConfig(env);
    expect(LND_MACAROON).toEqual(MACAROON);
    expect(LND_CERT?.toString()).toBe(PEM);
    expect(loadConfig({ ...lnd, LND_CERT: Buffer.from(PEM).toString('base64') }).LND_CERT?.toString()).toBe(PEM);
  });
});
