import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

/** A program of the benchmark in a process of its own. */
export interface Child {
  /** The first thing it said. */
  readonly hello: unknown;
  /** Sends a message; resolves with the next one that comes back. Rejects where the process ends instead. */
  ask(question: object): Promise<unknown>;
  end(): Promise<void>;
}

/** Starts `bench/<name>.ts`; resolves with its first message. Rejects where it ends instead. */
export async function startChild(name: string, args: readonly string[] = []): Promise<Child> {
  const child = fork(fileURLToPath(new URL(`${name}.ts`, import.meta.url)), [...args]);
  let ended = false;
  const end = once(child, 'exit').then(() => (ended = true));
  const answer = async () => {
    const message = new AbortController();
    const failed = end.then(() => message.abort());
    try {
      return (await once(child, 'message', { signal: message.signal }))[0] as unknown;
    } catch (error) {
      await failed;
      throw new Error(`bench/${name}.ts has ended`, { cause: error });
    }
  };
  return {
    hello: await answer(),
    ask(question) {
      const answered = answer();
      if (!ended) child.send(question);
      return answered;
    },
    async end() {
      child.kill();
      await end;
    },
  };
}

/** In such a process: listens on a free port of loopback and tells the parent its origin. */
export function announce(server: Server): void {
  server.listen(0, '127.0.0.1', 1024, () => process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  // Nobody else would end it.
  process.on('disconnect', () => process.exit());
}
