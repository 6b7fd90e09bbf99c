import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from '../support/until.ts';
import type { PythonInstall } from './install.ts';

/** A llama.cpp server on loopback with a model of 270 million parameters. Nobody of this project wrote either. */
export interface ModelServer {
  /** With `/v1`. */
  readonly baseUrl: string;
  close(): Promise<void>;
}

/** What the server calls the model. */
export const SERVED_MODEL = 'gemma';
export const CONTEXT_TOKENS = 2048;
const START_LIMIT_MS = 120_000;

/** Starts one on a free port. Rejects with what it wrote where it ends instead. */
export async function startModelServer({ python, model }: PythonInstall): Promise<ModelServer> {
  const settings = {
    model,
    model_alias: SERVED_MODEL,
    // The model was trained on text, not on a chat format of its own: as the transcript of a chat it goes on writing.
    chat_format: 'vicuna',
    n_ctx: CONTEXT_TOKENS,
    // More would wait for each other in loops wherever the processor has other work to do.
    n_threads: 1,
    n_threads_batch: 1,
    // One request waits for another instead of cutting it short.
    interrupt_requests: false,
    embedding: true,
    host: '127.0.0.1',
    port: 0,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(python, ['-m', 'llama_cpp.server', ...args], { env: { PATH, HOME }, stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  // Also where the run fails before its teardown.
  process.once('exit', () => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => void (output += chunk.toString()));
  const url = await until(() => {
    if (child.exitCode !== null) throw new Error(`the model server did not start: ${output}`);
    return /running on (http:\S+)/.exec(output)?.[1];
  }, START_LIMIT_MS);
  return {
    baseUrl: `${url}/v1`,
    async close() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}
