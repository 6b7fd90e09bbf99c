import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A program that a test started. */
export interface Program {
  /** Ends it in order. */
  stop(): Promise<void>;
  /** As the kernel does it: nothing is flushed, nothing is told. */
  kill(): Promise<void>;
  /** Stops it in its tracks: its connections stay open and silent. */
  freeze(): void;
  thaw(): void;
  readonly running: boolean;
  /** The end of what it wrote, for a failure's message. */
  output(): string;
}

/** A directory of the test's own and the programs that work in it. Both are gone when the test process is, however it ended. */
export class Processes {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'pura-regtest-'));
  readonly #programs = new Set<Program>();
  readonly #guard: ChildProcess;

  constructor() {
    // Learns of each program's start and end on its standard input, and of the end of this process by the end of that.
    const script = `
      while read -r event pid; do
        if [ "$event" = started ]; then pids="$pids $pid "; else pids=$(printf %s "$pids" | sed "s/ $pid / /"); fi
      done
      for pid in $pids; do kill -s KILL -- "-$pid" 2>/dev/null; done
      rm -rf "$1"`;
    this.#guard = spawn('/bin/sh', ['-c', script, 'sh', this.directory], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    this.#guard.unref();
    (this.#guard.stdin as unknown as { unref(): void }).unref();
    this.#guard.stdin?.on('error', () => {});
  }

  /** Starts a program in a process group of its own; what it writes goes to `<name>.out`. */
  start(name: string, file: string, args: readonly string[]): Program {
    const log = path.join(this.directory, `${name}.out`);
    const output = openSync(log, 'a');
    const child = spawn(file, args, { detached: true, stdio: ['ignore', output, output] });
    closeSync(output);
    const exited = once(child, 'exit');
    const { pid } = child;
    if (pid === undefined) throw new Error(`${file} could not be started`);
    this.#guard.stdin?.write(`started ${pid}\n`);
    child.on('exit', () => this.#guard.stdin?.write(`ended ${pid}\n`));
    const running = (): boolean => child.exitCode === null && child.signalCode === null;
    const end = async (signal: NodeJS.Signals): Promise<void> => {
      if (running()) child.kill(signal);
      await exited;
    };
    const program: Program = {
      stop: () => end('SIGTERM'),
      kill: () => end('SIGKILL'),
      freeze: () => void child.kill('SIGSTOP'),
      thaw: () => void child.kill('SIGCONT'),
      get running() {
        return running();
      },
      output: () => readFileSync(log, 'utf8').slice(-2_000),
    };
    this.#programs.add(program);
    return program;
  }

  /** Ends every program and removes the directory. */
  async close(): Promise<void> {
    await Promise.all([...this.#programs].map((program) => program.kill()));
    rmSync(this.directory, { recursive: true, force: true });
    this.#guard.stdin?.end();
  }
}

/** Ports of loopback that nobody listens on now, each another one. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
