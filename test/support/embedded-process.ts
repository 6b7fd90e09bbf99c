import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { createLog } from '../../src/log.ts';

/** What a launching process said about its start: the database, or why there is none. */
export interface StartReport {
  readonly connectionString?: string;
  readonly adopted?: boolean;
  readonly dataDir?: string;
  readonly refused?: string;
}

const SCRIPT = fileURLToPath(import.meta.url);
const PROJECT_DIR = fileURLToPath(new URL('../../', import.meta.url));

/** Starts the embedded database in a process of its own, so that the process can be killed. SIGTERM stops it in order. */
export async function launchInProcess(dataDir: string): Promise<{ child: ChildProcess; report: StartReport }> {
  const child = spawn(process.execPath, [SCRIPT, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { child, report: JSON.parse(line) as StartReport };
}

/** Kills a process and waits until it is gone. */
export async function killAndWait(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

async function main(dataDir: string): Promise<void> {
  const say = (report: StartReport) => process.stdout.write(`${JSON.stringify(report)}\n`);
  try {
    const postgres = await startEmbeddedPostgres({
      dataDir,
      projectDir: PROJECT_DIR,
      log: createLog('silent'),
      settings: { fsync: 'off' },
    });
    process.once('SIGTERM', () => void postgres.stop());
    const { connectionString, adopted, dataDir: used } = postgres;
    say({ connectionString, adopted, dataDir: used });
  } catch (error) {
    say({ refused: (error as Error).message });
  }
}

if (process.argv[1] === SCRIPT) await main(process.argv[2] ?? '');
