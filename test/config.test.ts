import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ConfigError, loadConfig } from '../src/config.ts';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'pura-config-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function file(name: string, content: string): string {
  const written = path.join(directory, name);
  writeFileSync(written, content);
  return written;
}

/** Refused, by a sentence that names what is wrong and never its value. */
function expectRefused(env: NodeJS.ProcessEnv, named: string): void {
  const load = () => loadConfig(env);
  expect(load).toThrow(ConfigError);
  expect(load).toThrow(named);
  expect(load).not.toThrow(/canary/);
}

const deployment = (lines: string) =>
  file('gateway.yaml', `deployments:\n  - { id: own, baseUrl: "http://127.0.0.1:1/v1", prices: { input: 1, output: 1 }${lines} }\n`);

describe('play money', () => {
  it.each<[string, NodeJS.ProcessEnv]>([
    ['OPENAI_API_KEY', { OPENAI_API_KEY: 'sk-canary' }],
    ['HOST', { HOST: '0.0.0.0' }],
    ['HOST', { HOST: '127.0.0.1.example.org' }],
    ['HOST', { HOST: 'localhost.example.org' }],
    ['HOST', { HOST: '10.127.0.0.1' }],
    ['HOST', { HOST: '::' }],
    ['NODE_ENV', { NODE_ENV: 'production' }],
  ])('does not start with %s: %o; it does where that is allowed, or with a wallet', (named, env) => {
    expectRefused(env, named);
    expect(loadConfig({ ...env, ALLOW_SIMULATED: 'true' }).LIGHTNING_BACKEND).toBe('simulated');
    expect(loadConfig({ ...env, NWC_URL: 'nostr+walletconnect://x' }).LIGHTNING_BACKEND).toBe('nwc');
  });

  it.each([', apiKey: canary', ', apiKeyFile: /canary'])('does not start beside a model server that takes a credential%s', (credential) => {
    const GATEWAY_CONFIG = deployment(credential);
    expectRefused({ GATEWAY_CONFIG }, 'deployments.own');
    expect(loadConfig({ GATEWAY_CONFIG, ALLOW_SIMULATED: '1' }).deployments).toHaveLength(1);
  });

  it.each(['127.0.0.1', '127.1.2.3', 'localhost', '::1', '[::1]'])('starts on %s, beside a model server that costs nothing', (HOST) => {
    expect(loadConfig({ HOST, GATEWAY_CONFIG: deployment('') })).toMatchObject({ HOST, LIGHTNING_BACKEND: 'simulated' });
  });
});

describe('a variable that there is not', () => {
  it.each([
    'LND_SOKET',
    'LND_MACAROON_PATH',
    'LND_SOCKET_FILE',
    'LND_HOST',
    'LND_PORT',
    'NWC_URI',
    'NWC_URL_',
    'PURA_PORT',
    'PURA_API_KEY',
  ])('stops the start by its name, where it looks like one of ours: %s', (name) => expectRefused({ [name]: 'canary' }, name));

  it('is named with all the others', () => {
    expectRefused({ LND_SOKET: 'canary', NWC_URI: 'canary', PORT: '80' }, 'LND_SOKET, NWC_URI');
  });

  it.each(['LIGHTNING', 'LNDSOCKET', 'PATH', 'OPENAI_ORG', 'lnd_socket'])(
    'is nobody’s business, where it is another program’s: %s',
    (name) => {
      expect(() => loadConfig({ [name]: 'x' })).not.toThrow();
    },
  );

  it('is let pass where Kubernetes set it for a service of that name', () => {
    const links = {
      LND_SERVICE_HOST: '10.0.0.7',
      LND_SERVICE_PORT: '10009',
      LND_SERVICE_PORT_GRPC: '10009',
      LND_PORT: 'tcp://10.0.0.7:10009',
      LND_PORT_10009_TCP: 'tcp://10.0.0.7:10009',
      LND_PORT_10009_TCP_ADDR: '10.0.0.7',
      PURA_PORT: 'tcp://10.0.0.8:80',
    };
    expect(() => loadConfig(links)).not.toThrow();
  });
});
