import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Where an agent is started: a home and a directory to work in that are its own, the gateway, and the account that pays. */
export interface AgentPlace {
  readonly bin: string;
  readonly home: string;
  readonly work: string;
  readonly url: string;
  readonly secret: string;
  readonly model: string;
}

/** What an agent did with a task. */
export interface AgentRun {
  readonly code: number | null;
  /** Everything it wrote. */
  readonly output: string;
}

/** A coding agent as it is published, told where the gateway is in the ways that its own manual names. */
export interface Agent {
  readonly name: string;
  readonly path: string;
  /** Gives it a task and waits for its end. */
  run(place: AgentPlace, task: string): Promise<AgentRun>;
}

/** One that asks the user, or tries again for ever, does not outlive its test. */
const LIMIT_MS = 90_000;

export const AGENTS: readonly Agent[] = [
  {
    name: 'Codex',
    path: '/v1/responses',
    run(place, task) {
      mkdirSync(path.join(place.home, '.codex'), { recursive: true });
      writeFileSync(path.join(place.home, '.codex', 'config.toml'), codexSettings(place));
      const args = ['exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', task];
      return run('codex', args, place, { MY_PURA_KEY: place.secret });
    },
  },
  {
    name: 'Claude Code',
    path: '/v1/messages',
    run: (place, task) =>
      run('claude', ['--print', task, '--model', place.model, '--allowedTools', 'Read'], place, {
        ANTHROPIC_BASE_URL: place.url,
        ANTHROPIC_API_KEY: place.secret,
        ANTHROPIC_DEFAULT_HAIKU_MODEL: place.model,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      }),
  },
];

const codexSettings = ({ model, url }: AgentPlace) => `
model = ${JSON.stringify(model)}
model_provider = "pura"

[model_providers.pura]
name = "Pura"
base_url = ${JSON.stringify(`${url}/v1`)}
env_key = "MY_PURA_KEY"
wire_api = "responses"
`;

/** With nothing of this process's environment, and no way out but loopback: port 9 of it answers nobody. */
async function run(command: string, args: string[], { bin, home, work }: AgentPlace, settings: Record<string, string>): Promise<AgentRun> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    TERM: 'dumb',
    HTTPS_PROXY: 'http://127.0.0.1:9',
    NO_PROXY: '127.0.0.1',
    ...settings,
  };
  const child = spawn(path.join(bin, command), args, {
    cwd: work,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => void (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}
