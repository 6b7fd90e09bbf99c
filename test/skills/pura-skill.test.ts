import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { parse as yaml } from 'yaml';
import { startGateway, type TestGateway } from '../support/gateway.ts';

const SKILL = fileURLToPath(new URL('../../skills/pura/', import.meta.url));
const SCRIPTS = path.join(SKILL, 'scripts');
/** dash is the strictest of the shells that are called sh; bash has a mode for it. */
const SHELLS = ['dash', 'bash'].filter((shell) => spawnSync(shell, ['-c', 'true']).status === 0);

let gateway: TestGateway;
let home: string;

beforeAll(async () => {
  gateway = await startGateway({ env: { FREE_TIER_REQUESTS: '1' } });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
});
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'pura-skill-'));
});
afterEach(() => rmSync(home, { recursive: true }));

interface Ended {
  code: number;
  output: string;
}

/** Runs a script as an agent does, with what it says on both streams. */
function run(script: string, args: readonly string[] = [], { input = '', env = {}, shell = SHELLS[0] ?? 'sh' } = {}): Promise<Ended> {
  const all = { PATH: process.env['PATH'], HOME: home, HOME_OF_PURA: path.join(home, 'pura'), ...env };
  return new Promise((resolve) => {
    const child = execFile(shell, [path.join(SCRIPTS, `${script}.sh`), ...args], { env: all }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
    child.stdin?.on('error', () => {}).end(input);
  });
}

const kept = (name: string) => path.join(home, 'pura', name);
const keyOf = () => /pura_[\w-]+/.exec(readFileSync(kept('curl.conf'), 'utf8'))?.[0] ?? '';
const setUp = () => run('setup', ['--url', gateway.url]);
const shown = (output: string, what: string) => new RegExp(`^${what}: +(\\S+)$`, 'm').exec(output)?.[1] ?? '';

describe('the skill', () => {
  const [, front = ''] = readFileSync(path.join(SKILL, 'SKILL.md'), 'utf8').split(/^---$/m);

  it('says what it is and needs, as agents read it', () => {
    const { name, description, metadata } = yaml(front) as { name: string; description: string; metadata: { openclaw: object } };
    expect(name).toBe(path.basename(SKILL));
    expect(description.length).toBeGreaterThan(100);
    expect(description.length).toBeLessThan(1024);
    expect(metadata.openclaw).toMatchObject({ requires: { bins: ['curl'] } });
    // One line of JSON: some agents read no more of YAML.
    expect(JSON.parse(/^metadata: (.*)$/m.exec(front)?.[1] ?? '')).toEqual(metadata);
  });

  it('names every script, and no other', () => {
    const text = readFileSync(path.join(SKILL, 'SKILL.md'), 'utf8');
    const named = new Set([...text.matchAll(/(\w+\.sh)/g)].map(([name]) => name));
    expect(named).toEqual(new Set(readdirSync(SCRIPTS).filter((name) => name !== 'lib.sh')));
  });

  it('asks for nothing but sh, curl and what every system has', () => {
    for (const name of readdirSync(SCRIPTS)) {
      const text = readFileSync(path.join(SCRIPTS, name), 'utf8').replaceAll(/^ *#.*$/gm, '');
      expect(text).not.toMatch(/\b(jq|python|perl|awk|bash|eval|sudo)\b/);
    }
  });

  const hasShellcheck = spawnSync('shellcheck', ['--version']).status === 0;
  (hasShellcheck ? it : it.skip)('is what shellcheck wants of a POSIX script (skipped without shellcheck)', () => {
    const files = readdirSync(SCRIPTS).map((name) => path.join(SCRIPTS, name));
    const { status, stdout } = spawnSync('shellcheck', ['-x', '-s', 'sh', '-P', SCRIPTS, ...files], { encoding: 'utf8' });
    expect([status, stdout]).toEqual([0, '']);
  });
});

describe.each(SHELLS)('with %s', (shell) => {
  it('a key is made, checked, used up, topped up and reported on, and never shown', async () => {
    const said: string[] = [];
    const step = async (script: string, args: readonly string[] = []) => {
      const ended = await run(script, args, { shell });
      said.push(ended.output);
      return ended;
    };
    expect(await step('setup', ['--url', gateway.url, '--label', 'my agent'])).toMatchObject({
      code: 0,
      output: expect.stringContaining('1 free requests are left'),
    });
    const key = keyOf();
    expect([statSync(kept('curl.conf')).mode & 0o777, statSync(kept('')).mode & 0o777]).toEqual([0o600, 0o700]);
    expect(await step('verify', ['demo-cheap'])).toMatchObject({
      code: 0,
      output: expect.stringMatching(/demo-cheap of demo answers\. It cost 0 msat \(free\)/),
    });
    const refused = await step('verify', ['demo-cheap']);
    expect(refused).toMatchObject({ code: 5, output: expect.stringContaining('free_tier_exceeded') });
    expect(refused.output).toMatch(new RegExp(`Payment is needed: 1000 sats, at ${gateway.url}/invoice/`));
    const made = await step('topup', ['2500']);
    expect(made).toMatchObject({ code: 0, output: expect.stringContaining(`page:    ${gateway.url}/invoice/`) });
    expect(await step('topup', ['--check'])).toMatchObject({ code: 5, output: expect.stringContaining('The invoice is pending') });
    await gateway.pay(shown(made.output, 'invoice'));
    expect(await step('topup', ['--check'])).toMatchObject({
      code: 0,
      output: expect.stringContaining('The invoice is paid. The balance is 2500 sats'),
    });
    expect(await step('verify', ['demo-cheap'])).toMatchObject({
      code: 0,
      output: expect.stringMatching(/It cost [1-9]\d* msat \(wallet\)/),
    });
    const { code, output } = await step('report', ['7d']);
    expect(code).toBe(0);
    expect(output).toMatch(/^balance: +2499 sats/m);
    expect(output).toMatch(/^free requests: 0 of 1 left$/m);
    expect(output).toMatch(/^last 7d: +2 requests, worth \$0\.\d+; [1-9]\d* msat charged$/m);
    expect(output).toMatch(/^ {2}demo-cheap: 2 requests, [1-9]\d* msat$/m);
    expect(said.join('')).not.toContain(key);
    expect(readdirSync(kept('')).toSorted()).toEqual(['curl.conf', 'last-invoice', 'url']);
  });

  it('a payment makes a key where there was none, by its preimage on standard input', async () => {
    const asked = await run('setup', ['--url', gateway.url, '--pay', '--sats', '300'], { shell });
    expect(asked).toMatchObject({ code: 0, output: expect.stringContaining('invoice of 300 sats') });
    expect(shown(asked.output, 'page')).toMatch(new RegExp(`^${gateway.url}/invoice/`));
    expect(statSync(kept('pending')).mode & 0o777).toBe(0o600);
    expect(await run('setup', ['--paid'], { shell, input: `${'0'.repeat(64)}\n` })).toMatchObject({ code: 4 });
    const preimage = (await gateway.pay(shown(asked.output, 'invoice'))).toString('hex');
    const paid = await run('setup', ['--paid'], { shell, input: preimage });
    expect(paid).toMatchObject({ code: 0, output: expect.stringContaining('A key is set up') });
    expect(paid.output).not.toContain(preimage);
    expect((await run('report', [], { shell })).output).toMatch(/^balance: +300 sats/m);
    expect(existsSync(kept('pending'))).toBe(false);
  });
});

describe('what goes wrong', () => {
  it.each<[what: string, script: string, args: string[], code: number, said: string]>([
    ['nothing is set up', 'verify', [], 1, 'no key is set up'],
    ['nothing is set up', 'report', [], 1, 'no key is set up'],
    ['no address', 'setup', [], 1, 'nothing is set up'],
    ['no gateway', 'setup', ['--url', 'http://127.0.0.1:1'], 3, 'cannot be reached'],
    ['a key in the clear', 'setup', ['--url', 'http://pura.example'], 1, 'must begin with https://'],
    ['a host that looks like this machine', 'setup', ['--url', 'http://localhost.evil.example'], 1, 'must begin with https://'],
    ['a user in the address', 'setup', ['--url', 'http://localhost:1@evil.example'], 1, 'without a slash'],
    ['an address with more in it', 'setup', ['--url', 'https://pura.example"\nproxy=evil'], 1, 'without a slash'],
    ['a file', 'setup', ['--url', 'file:///etc/passwd'], 1, 'must begin with https://'],
    ['a label of JSON', 'setup', ['--url', 'https://pura.example', '--label', '","role":"x'], 1, 'label'],
    ['an option that is none', 'setup', ['--force'], 1, 'there is no --force'],
    ['an option without its value', 'setup', ['--url'], 1, '--url needs a value'],
    ['a preimage without an invoice', 'setup', ['--paid'], 1, 'no invoice waits'],
  ])('%s: %s %j', async (_what, script, args, code, said) => {
    const ended = await run(script, args);
    expect(ended).toMatchObject({ code, output: expect.stringContaining(said) });
    expect(existsSync(kept('curl.conf'))).toBe(false);
  });

  it('a wrong key is told, and what else the gateway refuses in its own words', async () => {
    await setUp();
    const right = readFileSync(kept('curl.conf'), 'utf8');
    expect(await run('verify', ['no-such-model'])).toMatchObject({ code: 6, output: expect.stringContaining('model_not_found') });
    expect(await run('topup', ['99'])).toMatchObject({ code: 6, output: expect.stringContaining('amount') });
    expect(await run('topup', ['1e9'])).toMatchObject({ code: 1 });
    expect(await run('report', ['1y'])).toMatchObject({ code: 1 });
    expect(await run('verify', ['x","stream":true'])).toMatchObject({ code: 1 });
    expect(await run('setup', ['--url', gateway.url])).toMatchObject({ code: 0, output: expect.stringContaining('set up already') });
    expect(readFileSync(kept('curl.conf'), 'utf8')).toBe(right);
    writeFileSync(kept('curl.conf'), right.replace(/pura_[\w-]{4}/, 'pura_XXXX'));
    for (const script of ['verify', 'report']) {
      expect(await run(script)).toMatchObject({ code: 4, output: expect.stringContaining('refuses the key') });
    }
    expect((await run('verify')).output).not.toContain('pura_XXXX');
    expect(await run('setup', ['--new'])).toMatchObject({ code: 0 });
    expect(await run('report')).toMatchObject({ code: 0 });
  });

  it('a key stays with its gateway until another gateway has given one', async () => {
    await setUp();
    expect(await run('setup', ['--new', '--url', 'http://127.0.0.1:1'])).toMatchObject({ code: 3 });
    expect(await run('setup', ['--new', '--pay', '--url', gateway.url.replace('127.0.0.1', 'localhost')])).toMatchObject({ code: 0 });
    expect(readFileSync(kept('url'), 'utf8').trim()).toBe(gateway.url);
    expect((await run('report')).code).toBe(0);
  });

  it('a machine without curl is told so', async () => {
    const bin = path.join(home, 'bin');
    const tools = ['sh', 'dash', 'mkdir', 'chmod', 'rm', 'cat', 'sed', 'tr', 'mv', 'dirname'];
    spawnSync('mkdir', [bin]);
    for (const tool of tools) {
      const found = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).stdout.trim();
      if (found.startsWith('/')) symlinkSync(found, path.join(bin, tool));
    }
    expect(await run('setup', ['--url', gateway.url], { env: { PATH: bin } })).toMatchObject({
      code: 2,
      output: expect.stringContaining('curl is missing'),
    });
  });

  it('the key is in no argument of any program, and the user’s own options for curl are not asked', async () => {
    await setUp();
    const log = path.join(home, 'arguments');
    const bin = path.join(home, 'spy');
    spawnSync('mkdir', [bin]);
    const curl = spawnSync('sh', ['-c', 'command -v curl'], { encoding: 'utf8' }).stdout.trim();
    writeFileSync(path.join(bin, 'curl'), `#!/bin/sh\nprintf '%s\\n' "$@" >>'${log}'\nexec ${curl} "$@"\n`, { mode: 0o755 });
    writeFileSync(path.join(home, '.curlrc'), 'url = "http://127.0.0.1:1/"\nverbose\n');
    const env = { PATH: `${bin}:${process.env['PATH']}` };
    expect(await run('report', [], { env })).toMatchObject({ code: 0 });
    const given = readFileSync(log, 'utf8');
    expect(given).toMatch(/^-q$/m);
    expect(given).not.toContain(keyOf());
  });

  it('a server that lies cannot write to the terminal, nor into the key’s file', async () => {
    const evil = createServer((req, res) => {
      req.resume();
      const key = req.url === '/api/keys' ? 'pura_x\\"\\nurl=http://evil' : 'pura_x';
      res.writeHead(req.url === '/api/keys' ? 201 : 500).end(`{"key":"${key}","error":{"message":"\u001B[2Jgone\u0007","code":"x"}}`);
    });
    await new Promise<void>((resolve) => evil.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(evil.address() as AddressInfo).port}`;
      expect(await run('setup', ['--url', url])).toMatchObject({ code: 6, output: expect.stringContaining('no key') });
      expect(existsSync(kept('curl.conf'))).toBe(false);
      writeFileSync(kept('curl.conf'), 'header = "Authorization: Bearer pura_y"\n');
      writeFileSync(kept('url'), url);
      const { output } = await run('report');
      expect(output).toContain('[2Jgone');
      expect(Buffer.from(output).filter((byte) => byte < 0x20 && byte !== 0x0a)).toHaveLength(0);
    } finally {
      evil.closeAllConnections();
      await new Promise((resolve) => evil.close(resolve));
    }
  });
});
