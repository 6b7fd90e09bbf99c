import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { checkConfig } from '../../src/checking-config.ts';
import { gatewayFile } from '../../src/config/gateway-file.ts';
import { API_KEY_VARIABLES } from '../../src/config/public-providers.ts';

const EXAMPLE = fileURLToPath(new URL('../../docs/gateway.example.yaml', import.meta.url));
const KEYS = Object.fromEntries(API_KEY_VARIABLES.map((name) => [name, 'sk-canary']));
const directory = mkdtempSync(path.join(tmpdir(), 'pura-check-'));
afterAll(() => rmSync(directory, { recursive: true }));

function check(content: string, env: NodeJS.ProcessEnv = {}) {
  const file = path.join(directory, 'gateway.yaml');
  writeFileSync(file, content);
  return checkConfig(undefined, { ...env, GATEWAY_CONFIG: file });
}

describe('the example', () => {
  it('can be used with keys, and is shown', () => {
    const { exitCode, lines } = checkConfig(EXAMPLE, KEYS);
    const told = lines.join('\n');
    expect(exitCode).toBe(0);
    expect(told).toContain(
      'deployment pureai/azure-4o-mini: openai-chat at https://example.openai.azure.com/openai/deployments/gpt-4o-mini, ' +
        '$0.15 and $0.6 a million tokens, cheap, at most 64 requests at once and 600 requests a minute',
    );
    expect(told).toContain(
      'model gpt-4o-mini: openai/gpt-4o-mini (primary, weight 3), pureai/azure-4o-mini (primary, weight 1), pureai/vllm-qwen (backup, weight 1)',
    );
    expect(told).toContain('alias codex-auto-review: gpt-5.4-mini');
    expect(told).not.toMatch(/canary|placeholder|westeurope|api-version/);
    // The key's file is not there.
    expect(lines.filter((line) => line.startsWith('warning: '))).toEqual([
      expect.stringMatching(/gateway\.example\.yaml:\d+:\d+: deployments\.1\.apiKeyFile/),
    ]);
  });

  it('has every setting', () => {
    const text = readFileSync(EXAMPLE, 'utf8');
    const settings = settingsOf(z.toJSONSchema(gatewayFile, { io: 'input', unrepresentable: 'any' }));
    const missing = settings.filter((name) => !new RegExp(`\\b${name}:|\\b${name}, a list`).test(text));
    expect(missing).toEqual([]);
    expect(settings).toEqual(expect.arrayContaining(['deployments', 'baseUrl', 'cacheRead', 'weight', 'takesSchema', 'rpcUrl']));
  });
});

describe('config:check', () => {
  it('tells every problem where it stands, and ends with 1', () => {
    expect(check('aliases:\n  a: gpt-99\nmodels:\n  b: { deployments: [{ use: pureai/x }] }\n', KEYS)).toEqual({
      exitCode: 1,
      lines: [
        'GATEWAY_CONFIG: gateway.yaml:4:29: models.b.deployments.0.use: is the id of no deployment',
        'GATEWAY_CONFIG: gateway.yaml:2:6: aliases.a: is no model that is known here with a price',
      ],
    });
    expect(check('prices:\n  x/y: { input: 1, output: 1 }\n').lines).toEqual([
      "GATEWAY_CONFIG: gateway.yaml:2:3: prices.x/y: is neither a deployment nor a public provider's model",
    ]);
    expect(check('', { PORT: 'canary' })).toEqual({ exitCode: 1, lines: ['PORT: must be a whole number'] });
    expect(checkConfig('/nowhere', {})).toEqual({ exitCode: 1, lines: ['GATEWAY_CONFIG: cannot read the file: ENOENT'] });
  });

  it('warns of a key that is missing, and takes the rest', () => {
    expect(check('aliases: { a: gpt-4o }\n')).toEqual({
      exitCode: 0,
      lines: [
        'providers with a key: none',
        'alias a: gpt-4o',
        'warning: GATEWAY_CONFIG: gateway.yaml:1:15: aliases.a: needs OPENAI_API_KEY',
      ],
    });
  });
});

/** The names of all members that a schema has, however deep. */
function settingsOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const { properties = {}, ...rest } = schema as { properties?: Record<string, unknown> };
  return [...Object.keys(properties), ...[...Object.values(properties), ...Object.values(rest)].flatMap(settingsOf)];
}
