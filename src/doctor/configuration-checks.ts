import { checkConfig } from '../checking-config.ts';
import { readSources, type Config } from '../config/config.ts';
import type { UsableConfig } from '../config/usable-config.ts';
import { olderSecrets } from '../accounts/older-secrets.ts';
import { note, ok, problem, unknown, warning, type Check, type Finding } from './finding.ts';
import type { ReachedDatabase } from './reach-database.ts';
import { messageOf } from './run-checks.ts';

const CORRECT = 'Correct it; README.md has the table of the variables, and the gateway would not start with it.';
/** Of what a person makes up, or copies from an example. */
const MADE_UP = /secret|passw|change|example|qwert|test|1234|abcd/i;
const FEWEST_HEX_DIGITS = 10;
const FEWEST_CHARACTERS = 18;
const FEWEST_OF_A_TOKEN = 8;

/** What the environment and the gateway file say, and the secrets in them by how they look. */
export function configurationChecks(usable: UsableConfig, database: ReachedDatabase, env?: NodeJS.ProcessEnv): Check[] {
  return [
    { name: 'configuration', look: () => lookAtConfiguration(usable) },
    { name: 'GATEWAY_CONFIG', look: () => lookAtFile(env) },
    { name: 'SECRET_KEY', look: () => lookAtSecret(usable, database) },
    { name: 'ADMIN_TOKEN', look: () => lookAtAdminTokens(usable.config) },
  ];
}

function lookAtConfiguration({ config, refusals }: UsableConfig): Finding[] {
  if (refusals.length > 0) return refusals.map((refusal) => problem(refusal, CORRECT));
  return [ok(`valid: ${config.LIGHTNING_BACKEND} wallet, ${config.DATABASE_URL ? 'a PostgreSQL of your own' : 'the embedded database'}`)];
}

/** The file's own checker tells all of it; here it is enough whether something is wrong. */
function lookAtFile(env?: NodeJS.ProcessEnv): Finding[] {
  const { exitCode, lines } = checkConfig(undefined, env);
  if (exitCode === 1) {
    const ofFile = lines.filter((line) => /:\d+:\d+: |^GATEWAY_CONFIG/.test(line));
    return ofFile.length > 0
      ? ofFile.map((line) => problem(line, 'npm run config:check shows what the file says.'))
      : [unknown('the rest of the configuration stands in the way')];
  }
  const warnings = lines.filter((line) => line.startsWith('warning: ')).map((line) => line.slice('warning: '.length));
  if (warnings.length > 0) return warnings.map((line) => warning(line, 'npm run config:check shows what the file says.'));
  const { GATEWAY_CONFIG } = readSources(undefined, env).environment;
  return [ok(GATEWAY_CONFIG ? 'read; npm run config:check shows what it says' : 'none: models and prices are the built-in ones')];
}

async function lookAtSecret({ config, secretKeyText }: UsableConfig, { pool }: ReachedDatabase): Promise<Finding[]> {
  if (secretKeyText === undefined) {
    if (config.DATABASE_URL)
      return [
        problem('missing, and required with DATABASE_URL', 'openssl rand -hex 32, kept with the backups: every gateway needs the same.'),
      ];
    return [note('made by the gateway and kept in DATA_DIR', 'Back DATA_DIR up as a whole: without it no key is good any more.')];
  }
  const entries = secretKeyText.split(/[\s,]+/).map((entry) => entry.slice(entry.indexOf(':') + 1));
  const weak = entries.filter((entry) => !looksRandom(entry)).length;
  const found: Finding[] = [];
  if (weak > 0) {
    found.push(
      problem(
        `${weak} of ${entries.length} secrets look made up by a person`,
        'Put a random one first (openssl rand -hex 32) and retire the other (docs/secrets.md).',
      ),
    );
  }
  for (const { secretId, keys, known } of pool ? await olderSecrets(pool, config.secretKeys).catch(() => []) : []) {
    if (!known)
      found.push(
        problem(
          `${keys} live keys are stored under secret ${secretId}, which SECRET_KEY lacks: they are refused`,
          `Add ${secretId}:<secret> back (docs/secrets.md).`,
        ),
      );
  }
  return found.length > 0 ? found : [ok(entries.length === 1 ? 'one secret' : `${entries.length} secrets, the first one signs`)];
}

/** Few different characters, or words, in what should be 32 random bytes. */
function looksRandom(text: string): boolean {
  const different = new Set(text).size;
  if (/^[0-9a-f]+$/i.test(text)) return different >= FEWEST_HEX_DIGITS;
  return different >= FEWEST_CHARACTERS && !MADE_UP.test(text);
}

function lookAtAdminTokens({ ADMIN_TOKEN, PUBLIC_URL }: Config): Finding[] {
  if (ADMIN_TOKEN.length === 0)
    return [note('none: /admin and /metrics are off', 'Set ADMIN_TOKEN=<your name>:<openssl rand -hex 24> to see what the gateway does.')];
  const found: Finding[] = [];
  const weak = ADMIN_TOKEN.filter(({ token }) => new Set(token).size < FEWEST_OF_A_TOKEN || MADE_UP.test(token));
  if (weak.length > 0)
    found.push(
      problem(`the tokens of ${weak.map(({ name }) => name).join(', ')} look made up by a person`, 'openssl rand -hex 24 makes one.'),
    );
  if (PUBLIC_URL?.startsWith('http:') && !isLoopback(new URL(PUBLIC_URL).hostname)) {
    found.push(
      problem('PUBLIC_URL is plain http, so a token crosses the network for everybody to read', 'Put TLS in front (docs/deploy.md).'),
    );
  }
  return found.length > 0 ? found : [ok(`${ADMIN_TOKEN.length} tokens: ${ADMIN_TOKEN.map(({ name }) => name).join(', ')}`)];
}

/** Whether a host is this machine, seen from itself. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

/** A check whose own sentence names what failed. */
export function failed(what: string, error: unknown, advice: string): Finding {
  return problem(`${what}: ${messageOf(error)}`, advice);
}
