import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { until } from '../support/until.ts';
import { freePorts, type Processes, type Program } from './processes.ts';

const run = promisify(execFile);
const CREDENTIALS = ['--rpcuser=u', '--rpcpass=p'];

/** A regtest chain of btcd's. */
export interface Btcd {
  /** What an LND is told to find it. */
  readonly lndArguments: readonly string[];
  mine(blocks: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts btcd on its directory; new coins go to `miningAddress`. */
export async function startBtcd(processes: Processes, bin: string, miningAddress: string): Promise<Btcd> {
  const directory = path.join(processes.directory, 'btcd');
  mkdirSync(directory, { recursive: true });
  const none = path.join(directory, 'none.conf');
  const [cert, key] = [path.join(directory, 'rpc.cert'), path.join(directory, 'rpc.key')];
  writeFileSync(none, '');
  const [rpcPort, peerPort] = await freePorts(2);
  const program = processes.start('btcd', path.join(bin, 'btcd'), [
    ...['--regtest', `--configfile=${none}`, `--datadir=${directory}`, `--logdir=${path.join(directory, 'logs')}`],
    ...['--txindex', '--nobanning', '--nostalldetect', '--trickleinterval=100ms', '--rpcmaxwebsockets=50', ...CREDENTIALS],
    ...[`--rpccert=${cert}`, `--rpckey=${key}`, `--rpclisten=127.0.0.1:${rpcPort}`, `--listen=127.0.0.1:${peerPort}`],
    `--miningaddr=${miningAddress}`,
  ]);
  const control = async (...command: string[]): Promise<void> => {
    const rpc = [`--configfile=${none}`, '--regtest', ...CREDENTIALS, `--rpcserver=127.0.0.1:${rpcPort}`, `--rpccert=${cert}`];
    await run(path.join(bin, 'btcctl'), [...rpc, ...command]);
  };
  await whenReady(program, () => existsSync(cert) && control('getblockcount').then(() => true));
  return {
    lndArguments: [
      '--bitcoin.node=btcd',
      `--btcd.rpchost=127.0.0.1:${rpcPort}`,
      '--btcd.rpcuser=u',
      '--btcd.rpcpass=p',
      `--btcd.rpccert=${cert}`,
    ],
    mine: (blocks) => control('generate', String(blocks)),
    stop: () => program.stop(),
  };
}

/** Waits until a program answers; rejects with what it wrote where it ends before that, or takes too long. */
export async function whenReady(program: Program, probe: () => Promise<boolean> | boolean, timeoutMs = 60_000): Promise<void> {
  try {
    await until(async () => {
      if (!program.running) throw new Error('it ended');
      return Promise.resolve(probe()).catch(() => false);
    }, timeoutMs);
  } catch (error) {
    throw new Error(`a node did not become ready:\n${program.output()}`, { cause: error });
  }
}
