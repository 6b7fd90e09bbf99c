import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Refused, type Client, type Said } from './client.ts';

const SCRIPT = fileURLToPath(new URL('python_clients.py', import.meta.url));

/** The Python packages `openai` and `anthropic`, driven by a process of Python's own. */
export interface PythonClients {
  readonly clients: readonly Client[];
  close(): Promise<void>;
}

const SURFACES: readonly (Omit<Client, 'say'> & { client: string })[] = [
  { client: 'chat', name: 'openai for Python', path: '/v1/chat/completions', capped: 'length', canStop: true, canAskForMore: true },
  {
    client: 'completions',
    name: 'openai for Python, legacy completions',
    path: '/v1/completions',
    capped: 'length',
    canStop: true,
    canAskForMore: true,
  },
  {
    client: 'responses',
    name: 'openai for Python, responses',
    path: '/v1/responses',
    capped: 'max_output_tokens',
    canStop: false,
    canAskForMore: false,
  },
  { client: 'messages', name: 'anthropic for Python', path: '/v1/messages', capped: 'max_tokens', canStop: true, canAskForMore: false },
];

/** Starts the process, which does one task at a time. */
export function startPythonClients(python: string): PythonClients {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(python, [SCRIPT], { env: { PATH, HOME }, stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (order: object): Promise<Said> => {
    child.stdin.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error('the Python clients have ended');
    const outcome = JSON.parse(value) as Said & { status?: number; message: string };
    if (outcome.status !== undefined) throw new Refused(outcome.status, outcome.message);
    return outcome;
  };
  return {
    clients: SURFACES.map(({ client, ...surface }) => ({ ...surface, say: (where, task) => ask({ client, ...where, task }) })),
    async close() {
      child.stdin.end();
      await closed;
    },
  };
}
