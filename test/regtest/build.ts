import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { builtOnce } from '../support/built-once.ts';

const run = promisify(execFile);
const HERE = fileURLToPath(new URL('.', import.meta.url));
const LEAST_GO = [1, 25, 10] as const;
const TAGS = 'signrpc walletrpc chainrpc invoicesrpc peersrpc lowscrypt';
const PACKAGES = [
  'github.com/btcsuite/btcd',
  'github.com/btcsuite/btcd/cmd/btcctl',
  'github.com/lightningnetwork/lnd/cmd/lnd',
  'github.com/lightningnetwork/lnd/cmd/lncli',
];

/**
 * The directory with btcd, btcctl, lnd and lncli, built through the Go client at the versions that go.mod and go.sum beside this file
 * pin. Eight minutes the first time, nothing after: they are kept outside of the repository, by what was built. Rejects where Go is missing or too old.
 */
export function buildNodes(): Promise<string> {
  return builtOnce('pura-regtest', pinnedVersions(), async (directory) => {
    await requireGo();
    console.log(`building btcd and LND into ${directory}: minutes, the first time`);
    const env = { ...process.env, GOTOOLCHAIN: 'local', CGO_ENABLED: '0' };
    const flags = ['-trimpath', '-buildvcs=false', '-ldflags', '-s -w', '-tags', TAGS];
    await run('go', ['build', ...flags, '-o', `${directory}/`, ...PACKAGES], { cwd: HERE, env, maxBuffer: 1 << 26 });
  });
}

function pinnedVersions(): string {
  const hash = createHash('sha256').update(TAGS);
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(path.join(HERE, file)));
  return hash.digest('hex').slice(0, 16);
}

async function requireGo(): Promise<void> {
  const needed = `The tests against a real Lightning node need Go ${LEAST_GO.join('.')} or newer to build it`;
  const env = { ...process.env, GOTOOLCHAIN: 'local' };
  const { stdout } = await run('go', ['env', 'GOVERSION'], { env, cwd: homedir() }).catch(() => {
    throw new Error(`${needed}: there is no \`go\` on the PATH.`);
  });
  const version =
    /go(\d+)\.(\d+)(?:\.(\d+))?/
      .exec(stdout)
      ?.slice(1)
      .map((part) => Number(part ?? 0)) ?? [];
  const difference = LEAST_GO.map((least, index) => (version[index] ?? 0) - least).find((each) => each !== 0) ?? 0;
  if (difference < 0) throw new Error(`${needed}: the one on the PATH is ${stdout.trim()}.`);
}
