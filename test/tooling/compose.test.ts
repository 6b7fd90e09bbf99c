import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/config.ts';

const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));
const read = (file: string) => readFileSync(path.join(PROJECT_DIR, file), 'utf8');

interface Service {
  image?: string;
  profiles?: string[];
  depends_on?: Record<string, { condition: string }>;
  environment?: Record<string, string>;
  volumes?: string[];
  ports?: string[];
  healthcheck?: { test: string[] };
  restart?: string;
}

const compose = parse(read('docker-compose.yml'), { merge: true }) as { services: Record<string, Service>; volumes: Record<string, null> };
const services = Object.entries(compose.services);
const dockerfile = read('Dockerfile');

describe('docker-compose.yml', () => {
  it('waits only for services that there are, and only for conditions that they can meet', () => {
    const waits = services.flatMap(([, { depends_on = {} }]) => Object.entries(depends_on));
    const unmet = waits.filter(([needed, { condition }]) => {
      const { healthcheck, restart } = compose.services[needed] ?? {};
      return !(condition === 'service_healthy' ? healthcheck : condition === 'service_completed_successfully' && restart === 'no');
    });
    expect(unmet).toEqual([]);
  });

  it('starts nothing of the regtest profile with the rest, and everything that a service of it needs with it', () => {
    const plain = services.filter(([, { profiles }]) => !profiles).map(([name]) => name);
    expect(plain).toEqual(['secrets', 'postgres', 'gateway']);
    for (const name of plain)
      for (const needed of Object.keys(compose.services[name]?.depends_on ?? {}))
        expect(compose.services[needed]?.profiles).toBeUndefined();
  });

  it('declares every named volume that it mounts, and mounts only files that there are', () => {
    const sources = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0] ?? ''));
    const isThere = (source: string) => (source.startsWith('.') ? existsSync(path.join(PROJECT_DIR, source)) : source in compose.volumes);
    expect(sources.filter((source) => !isThere(source))).toEqual([]);
  });

  it('publishes on loopback alone, and neither a database nor a node', () => {
    const published = services.filter(([, { ports }]) => ports);
    expect(published.map(([name]) => name)).toEqual(['gateway', 'regtest-gateway']);
    for (const [, { ports = [] }] of published) for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });

  it('gives the gateways variables that they read, and secrets as files', () => {
    for (const name of ['gateway', 'regtest-gateway']) {
      const environment = compose.services[name]?.environment ?? {};
      const secrets = Object.keys(environment).filter((variable) => variable.endsWith('_FILE'));
      expect(secrets).toEqual(expect.arrayContaining(['DATABASE_URL_FILE', 'SECRET_KEY_FILE']));
      const given = Object.fromEntries(Object.entries(environment).filter(([variable]) => !variable.endsWith('_FILE')));
      const filled = Object.fromEntries(secrets.map((variable) => [variable.replace(/_FILE$/, ''), PLACEHOLDERS[variable] ?? '']));
      const config = loadConfig({ NWC_URL: 'nostr+walletconnect://x', ...given, ...filled, NODE_ENV: 'production' });
      expect(Object.keys(config)).toEqual(
        expect.arrayContaining([...Object.keys(given), ...Object.keys(filled)].filter((key) => key !== 'SECRET_KEY')),
      );
    }
  });

  it('bakes the macaroon that the manual tells to bake', () => {
    const baked = (text: string) => [...text.matchAll(/uri:\/[\w.]+\/\w+/g)].map(([uri]) => uri);
    const calls = ['AddInvoice', 'LookupInvoice', 'SubscribeInvoices', 'GetInfo', 'ListInvoices', 'ChannelBalance'];
    const least = calls.map((call) => `uri:/lnrpc.Lightning/${call}`);
    expect(baked(read('docker/regtest-channel.sh'))).toEqual(least);
    expect(baked(/^lncli bakemacaroon(?:.*\\\n)*.*/m.exec(read('docs/lightning.md'))?.[0] ?? '')).toEqual(least);
  });
});

const PLACEHOLDERS: Record<string, string> = {
  DATABASE_URL_FILE: 'postgres://pura:x@postgres:5432/pura',
  SECRET_KEY_FILE: 'ab'.repeat(32),
  LND_MACAROON_FILE: 'ab',
  LND_CERT_FILE: 'ab',
};

describe('Dockerfile', () => {
  it('copies only what there is and what .dockerignore lets through', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) => sources.split(' '));
    expect(copied).toEqual(expect.arrayContaining(['src', 'migrations', 'views']));
    const allowed = read('.dockerignore').split('\n');
    for (const source of copied)
      expect([source, existsSync(path.join(PROJECT_DIR, source)), allowed.includes(`!${source}`)]).toEqual([source, true, true]);
  });

  it('runs the gateway as an ordinary user, without a shell, with a health check', () => {
    expect(dockerfile.match(/^USER .*$/gm)).toEqual(['USER node']);
    const { scripts } = JSON.parse(read('package.json')) as { scripts: { start: string } };
    const [command = ''] = /^CMD \[.*\]$/m.exec(dockerfile) ?? [];
    // As `npm start` does, on systems with `exec` and on those without.
    const started = (JSON.parse(command.slice('CMD '.length)) as string[]).join(' ');
    expect(scripts.start).toBe(`exec ${started} || ${started}`);
    expect(started).toMatch(/^node .*src\/server\.ts$/);
    expect(dockerfile).toMatch(/^HEALTHCHECK /m);
    expect(dockerfile).toMatch(/npm ci --omit=dev/);
  });
});
