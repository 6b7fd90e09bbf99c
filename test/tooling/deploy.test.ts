import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../src/config/config.ts';
import { VARIABLE_NAMES } from '../../src/config/environment.ts';
import { macaroonPowers } from '../../src/lightning/lnd/lnd-macaroon.ts';
import { PAYING_CALLS } from '../../src/lightning/lnd/lnd-payments.ts';
import { lndMacaroon } from '../support/lnd-macaroon.ts';
import { TEST_TLS } from '../support/tls.ts';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const read = (file: string) => readFileSync(path.join(PROJECT, file), 'utf8');
const FILES = readdirSync(path.join(PROJECT, 'docs/deploy'));
const page = read('docs/deploy.md');
const all = [page, ...FILES.map((file) => read(`docs/deploy/${file}`))].join('\n');
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };

const home = mkdtempSync(path.join(tmpdir(), 'pura-deploy-'));
afterAll(() => rmSync(home, { recursive: true }));
const has = (program: string, ...args: string[]) => spawnSync(program, args).status === 0;

/** Names in capitals that are no variables of the gateway. */
const OTHERS = new Set(['SIGTERM', 'SIGHUP', 'CHANGELOG', 'YOUR_OPENAI_KEY', 'USER', 'PWD', 'SQL', 'MAINPID', 'WAL', 'UTF8']);

describe('docs/deploy.md', () => {
  it('names variables that there are', () => {
    const marked = [...page.matchAll(/`([^`\n]+)`|^```[a-z]*\n([^]*?)^```/gm)].map(([, inline, block]) => inline ?? block ?? '').join('\n');
    const named = [...marked.matchAll(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\b(?:PORT|HOST|WITHDRAWALS)\b/g)].map(([name]) => name);
    const known = (name: string) => VARIABLE_NAMES.includes(name.replace(/_FILE$/, '')) || OTHERS.has(name);
    expect(named.length).toBeGreaterThan(30);
    expect([...new Set(named)].filter((name) => !known(name))).toEqual([]);
  });

  it('names commands that there are', () => {
    const named = [...all.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name ?? '');
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
    for (const [, script = ''] of all.matchAll(/\/opt\/pura\/current\/(skills\/[\w./-]+)/g)) expect(read(script)).toMatch(/^#!/);
  });

  it('quotes its files as they are, and leads to each', () => {
    const bare = (file: string) =>
      read(`docs/deploy/${file}`)
        .replace(/^#.*\n/, '')
        .trim();
    expect(page).toContain(bare('pura.env'));
    expect(page).toContain(bare('Caddyfile'));
    const [, quoted = ''] = /```nginx\n([^]*?)```/.exec(page) ?? [];
    for (const line of quoted.trim().split('\n')) expect(read('docs/deploy/nginx.conf')).toContain(line.trim());
    for (const file of FILES) expect(page).toContain(`(deploy/${file})`);
  });

  it('bakes macaroons that permit what the gateway calls, and nothing else', () => {
    const baked = [...page.matchAll(/^lncli bakemacaroon(?:.*\\\n)*.*/gm)].map(([command]) =>
      lndMacaroon({ uri: [...command.matchAll(/uri:(\/[\w.]+\/\w+)/g)].map(([, call]) => call ?? '') }),
    );
    expect(baked.map((macaroon, index) => macaroonPowers(macaroon, index === 1 ? PAYING_CALLS : undefined))).toEqual([
      { excess: [], missing: [] },
      { excess: [], missing: [] },
    ]);
  });

  it('has settings with which the gateway starts', () => {
    const given = Object.fromEntries(
      [...read('docs/deploy/pura.env').matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
    );
    const secrets = {
      DATABASE_URL: 'postgres://pura:x@127.0.0.1:5432/pura',
      SECRET_KEY: 'ab'.repeat(32),
      LND_MACAROON: 'abcd',
      GATEWAY_CONFIG: '',
    };
    const config = loadConfig({ ...given, ...secrets });
    expect(config).toMatchObject({ LIGHTNING_BACKEND: 'lnd', PUBLIC_URL: 'https://pura.example', WITHDRAWALS: false });
  });
});

describe('the unit files', () => {
  const unit = read('docs/deploy/pura@.service');

  it('hand over every secret as a file that the gateway reads', () => {
    const loaded = [...unit.matchAll(/^LoadCredential=([\w-]+):/gm)].map(([, name]) => name);
    const given = [...unit.matchAll(/\b([A-Z_]+)_FILE=%d\/([\w-]+)/g)];
    expect(given.map(([, , file]) => file)).toEqual(loaded);
    expect(given.filter(([, name = '']) => !VARIABLE_NAMES.includes(name))).toEqual([]);
  });

  it('start the gateway as npm start does', () => {
    const [, command = ''] = /exec (node .*?) \|\|/.exec(scripts['start'] ?? '') ?? [];
    expect(/^ExecStart=.*\/(node .*)$/m.exec(unit)?.[1]).toBe(command);
  });

  it('wait for as long as a gateway may take to stop', () => {
    const { SHUTDOWN_GRACE_SECONDS } = loadConfig({ SECRET_KEY: 'ab'.repeat(32) });
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(SHUTDOWN_GRACE_SECONDS + 8);
  });

  const files = FILES.filter((file) => file.endsWith('.service'));
  const hasSystemd = has('systemd-analyze', '--version');
  (hasSystemd ? it : it.skip).each(files)('%s is what systemd takes (skipped without systemd)', (file) => {
    const instance = path.join(home, file.replace('@.', '@8402.'));
    const here = read(`docs/deploy/${file}`).replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`);
    writeFileSync(instance, here);
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', instance], {
      encoding: 'utf8',
    });
    // What it says of the machine's own units is none of ours.
    const ours = stderr.split('\n').filter((line) => line.includes(home) || line.includes(path.basename(instance)));
    expect([status, ours]).toEqual([0, []]);
  });
});

describe('the proxies', () => {
  const nginx = ['nginx', '/usr/sbin/nginx'].find((program) => has(program, '-v'));
  const nginxConf = read('docs/deploy/nginx.conf');

  (nginx === undefined ? it.skip : it)('nginx takes its file (skipped without nginx)', () => {
    writeFileSync(path.join(home, 'cert.pem'), TEST_TLS.cert);
    writeFileSync(path.join(home, 'key.pem'), TEST_TLS.key);
    const here = nginxConf
      .replace(/\/etc\/letsencrypt\/\S+fullchain\.pem/, path.join(home, 'cert.pem'))
      .replace(/\/etc\/letsencrypt\/\S+privkey\.pem/, path.join(home, 'key.pem'))
      .replaceAll(/listen (\[::\]:)?(80|443)/g, 'listen $118$2');
    writeFileSync(path.join(home, 'pura.conf'), here);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${home}/${name};`).join(' ');
    writeFileSync(
      path.join(home, 'nginx.conf'),
      `pid ${home}/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\n${temporary}\ninclude ${home}/pura.conf;\n}\n`,
    );
    const { status, stderr } = spawnSync(nginx ?? '', ['-t', '-p', home, '-c', path.join(home, 'nginx.conf')], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, expect.stringContaining('test is successful')]);
    expect(stderr).not.toContain('[warn]');
  });

  it('the Caddyfile is plain: blocks, and directives that Caddy has', () => {
    const lines = read('docs/deploy/Caddyfile')
      .split('\n')
      .filter((line) => line.trim() !== '' && !line.trim().startsWith('#'));
    const directives = lines.filter((line) => line.trim() !== '}').map((line) => line.trim().split(' ')[0]);
    expect(directives).toEqual([
      ...['pura.example', 'request_body', 'max_size', 'reverse_proxy', 'flush_interval', 'header_up', 'transport'],
      ...['dial_timeout', 'response_header_timeout', 'keepalive'],
    ]);
    let depth = 0;
    for (const line of lines) {
      if (line.trim() === '}') depth--;
      expect([line, /^\t*/.exec(line)?.[0].length]).toEqual([line, depth]);
      if (line.endsWith('{')) depth++;
    }
    expect(depth).toBe(0);
  });

  it('both let through what the gateway takes, for as long as it may answer, and say who asks', () => {
    const { BODY_LIMIT_MB, STREAM_MAX_SECONDS } = loadConfig({ SECRET_KEY: 'ab'.repeat(32) });
    const caddy = read('docs/deploy/Caddyfile');
    const numbers = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, number]) => Number(number));
    const bodies = [...numbers(nginxConf, /client_max_body_size (\d+)m/g), ...numbers(caddy, /max_size (\d+)MB/g)];
    const waits = [...numbers(nginxConf, /proxy_read_timeout (\d+)s/g), ...numbers(caddy, /response_header_timeout (\d+)s/g)];
    expect(bodies).toHaveLength(2);
    expect(waits).toHaveLength(2);
    for (const megabytes of bodies) expect(megabytes).toBeGreaterThanOrEqual(BODY_LIMIT_MB);
    for (const seconds of waits) expect(seconds).toBeGreaterThanOrEqual(STREAM_MAX_SECONDS);
    expect(nginxConf).toMatch(/proxy_buffering off;/);
    expect(nginxConf).toMatch(/X-Forwarded-For \$remote_addr;/);
    expect([nginxConf.includes('Forwarded ""'), caddy.includes('-Forwarded')]).toEqual([true, true]);
  });
});
