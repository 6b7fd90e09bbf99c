import { spawn, type ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const ARCHITECTURES: Partial<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** A node of a chain of its own on a free port of loopback. */
export interface Anvil {
  readonly url: string;
  call(method: string, ...params: unknown[]): Promise<unknown>;
  close(): Promise<void>;
}

/** Where the node's program is; undefined on a platform that it is not built for. */
export function anvilProgram(): string | undefined {
  const program = process.platform === 'win32' ? 'anvil.exe' : 'anvil';
  try {
    return createRequire(import.meta.url).resolve(`@foundry-rs/anvil-${process.platform}-${ARCHITECTURES[process.arch]}/bin/${program}`);
  } catch {
    return undefined;
  }
}

/** Starts the program. It mines a block where it is asked to, and keeps nothing on disk. */
export async function startAnvil(program: string, chainId: number): Promise<Anvil> {
  const args = ['--chain-id', String(chainId), '--host', '127.0.0.1', '--port', '0', '--accounts', '1', '--no-mining', '--threads', '1'];
  const node = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const release = endWithThisProcess(node);
  const ended = new Promise<void>((resolve) => node.once('close', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    const said: string[] = [];
    const listen = (line: string) => {
      said.push(line);
      const [, address] = /^Listening on (\S+)/.exec(line) ?? [];
      if (address !== undefined) resolve(`http://${address}`);
    };
    createInterface(node.stdout).on('line', listen);
    createInterface(node.stderr).on('line', listen);
    node.once('error', reject);
    node.once('close', () => reject(new Error(`anvil ended: ${said.join('\n')}`)));
  });
  return {
    url,
    async call(method, ...params) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
      const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
      const { result, error } = (await answer.json()) as { result?: unknown; error?: unknown };
      if (error !== undefined) throw new Error(`${method}: ${JSON.stringify(error)}`);
      return result;
    },
    async close() {
      release();
      node.kill('SIGKILL');
      await ended;
    },
  };
}

/** Leaves a process behind that ends the node as soon as this one is gone, however it ends. Returns the function that lets it go. */
function endWithThisProcess({ pid }: ChildProcess): () => void {
  if (process.platform === 'win32' || pid === undefined) return () => {};
  const script = 'read -r done || kill -KILL "$1"';
  const guard = spawn('/bin/sh', ['-c', script, 'sh', String(pid)], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  return () => guard.stdin.end('done\n');
}

/**
 * A pool without Solidity: a call returns the storage slot whose number is the call's first argument. `getUnits(member)` thus reads the slot
 * that the member's address names, and `getTotalUnits()`, which has no argument, slot 0.
 *
 * PUSH1 4, CALLDATALOAD, SLOAD, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN.
 */
const POOL_CODE = '0x6004355460005260206000f3';

export const word = (value: bigint | string) => `0x${BigInt(value).toString(16).padStart(64, '0')}`;

/** Puts such a pool at the address. */
export async function deployPool(anvil: Anvil, address: string): Promise<void> {
  await anvil.call('anvil_setCode', address, POOL_CODE);
}

/** Sets units, in blocks old enough to be read. `total` is the pool's; `units` those of its members by their addresses. */
export async function setUnits(anvil: Anvil, pool: string, total: bigint, units: Readonly<Record<string, bigint>>): Promise<void> {
  await anvil.call('anvil_setStorageAt', pool, word(0n), word(total));
  for (const [member, own] of Object.entries(units)) await anvil.call('anvil_setStorageAt', pool, word(member), word(own));
  await anvil.call('anvil_mine', '0x6');
}
