import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../src/config/config-error.ts';
import { readGatewayFile } from '../../src/config/gateway-file.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'pura-file-'));
afterAll(() => rmSync(directory, { recursive: true }));

function read(content: string | Buffer) {
  const file = path.join(directory, 'gateway.yaml');
  writeFileSync(file, content);
  return readGatewayFile(file);
}

function errorOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

/** What is wrong with a file, a problem a line. No value of it, secret or not, is among it. */
function problemsOf(content: string | Buffer): string[] {
  const error = errorOf(() => read(content));
  expect(error).toBeInstanceOf(ConfigError);
  const { message } = error as Error;
  expect(message).not.toContain('canary');
  return message.split('\n').map((line) => line.replace('GATEWAY_CONFIG: gateway.yaml:', ''));
}

const OWN = 'deployments:\n  - id: own\n    baseUrl: http://h\n    prices: { input: 1, output: 1 }\n';
const models = (servings: string) => `models:\n  fast:\n    deployments: ${servings}\n`;

describe('a problem of the gateway file has its line and column', () => {
  it.each<[what: string, content: string | Buffer, problems: string[]]>([
    [
      'a value',
      'deployments:\n  - id: a\n    baseUrl: canary\n    prices: { input: 1, output: 1 }\n',
      ['3:14: deployments.0.baseUrl: Invalid URL'],
    ],
    ['a name that is no setting', `${OWN}    tire: canary\n`, ['5:5: deployments.0.tire: is no setting there is']],
    [
      'one deep inside',
      `${OWN}    limits: { requestsPerHour: 1 }\n`,
      ['5:15: deployments.0.limits.requestsPerHour: is no setting there is'],
    ],
    ['a member that is missing', 'deployments:\n  - id: a\n    baseUrl: http://h\n', ['2:5: deployments.0.prices: is missing']],
    ['a member without a value', `${OWN}models:\n  fast:\n`, ['6:8: models.fast: Invalid input: expected object, received null']],
    [
      'a header’s name',
      `${OWN}    headers:\n      x-a: canary\n      x b: canary\n`,
      ['7:7: deployments.0.headers.x b: is no header name'],
    ],
    ['a header’s value', `${OWN}    headers: { x-a: "canary\\n" }\n`, ['5:21: deployments.0.headers.x-a: is no header value']],
    ['a wire', `${OWN}    wire: canary\n`, ['5:11: deployments.0.wire: is none of what may be here']],
    [
      'a key that is no text',
      `${OWN}    apiKey: { canary: 1 }\n`,
      ['5:13: deployments.0.apiKey: Invalid input: expected string, received object'],
    ],
    [
      'an id twice',
      `${OWN}  - { id: own, baseUrl: "http://h", prices: { input: 1, output: 1 } }\n`,
      ['5:11: deployments.1.id: is the id of another deployment'],
    ],
    ['a provider’s own name', OWN.replace('own', 'groq'), ['2:9: deployments.0.id: is the name of a public provider']],
    ['a provider that there is not', 'providers: { opnai: {} }\n', ['1:14: providers.opnai: is no setting there is']],
    [
      'a limit of nothing',
      'providers: { openai: { limits: { concurrentRequests: 0 } } }\n',
      ['1:54: providers.openai.limits.concurrentRequests: Too small'],
    ],
    ['only backups', models('[{ use: a, backup: true }]'), ['3:18: models.fast.deployments: must have one that is no backup']],
    ['no deployment', models('[]'), ['3:18: models.fast.deployments: Too small']],
    ['one twice', models('[{ use: a }, { use: a }]'), ['3:38: models.fast.deployments.1.use: is there twice']],
    ['no share', models('[{ use: a, weight: 0 }]'), ['3:37: models.fast.deployments.0.weight: must be above 0']],
    ['a negative share', models('[{ use: a, weight: -1 }]'), ['3:37: models.fast.deployments.0.weight: must be above 0']],
    ['a share without end', models('[{ use: a, weight: .inf }]'), ['3:37: models.fast.deployments.0.weight']],
    [
      'an alias and a model of one name',
      `${models('[{ use: a }]')}aliases:\n  fast: a\n`,
      ['5:3: aliases.fast: is a name under models too'],
    ],
    [
      'auto as a name',
      'models: { auto: { deployments: [{ use: a }] } }\naliases: { auto: a }',
      ['2:12: aliases.auto: is a name under models too', '2:12: aliases.auto: is what', '1:11: models.auto: is what'],
    ],
    [
      'a price',
      'prices:\n  a: { input: -1, output: canary }\n',
      ['2:15: prices.a.input: Too small', '2:27: prices.a.output: Invalid input'],
    ],
    [
      'behind an alias',
      'x: 1\ndeployments: [&a { id: a, prices: { input: 1, output: 1 } }]',
      ['2:18: deployments.0.baseUrl: is missing', '1:1: x: is no'],
    ],
    ['a list at the top', '- a\n- b\n', ['1:1: Invalid input: expected object, received array']],
    ['text at the top', 'canary', ['1:1: Invalid input: expected object, received string']],
    ['a name twice', 'aliases:\n  a: canary\n  a: canary\n', ['3:3: not valid YAML: this name is there twice']],
    ['a tab', 'aliases:\n\ta: canary\n', ['2:1: not valid YAML: a tab where only spaces may be']],
    ['a bracket that stays open', 'deployments: [ "canary"', ['1:24: not valid YAML: a line is not indented']],
    ['a quote that stays open', 'aliases:\n  a: "canary', ['2:13: not valid YAML: a colon, comma, quote or bracket is missing']],
    ['a second document', 'aliases: {}\n---\nprices: {}\n', ['2:1: not valid YAML: a second document begins']],
    ['an alias of nothing', 'aliases:\n  a: *canary\n', ['2:6: not valid YAML: an alias of no anchor before it']],
    ['a tag', 'aliases:\n  a: !canary b\n', ['2:6: not valid YAML: a tag that is not known']],
    ['a name that is no text', '? [canary]\n: 1\n', ['1:3: not valid YAML: a name must be text']],
    ['an escape that is none', 'aliases: { a: "\\q canary" }', ['1:16: not valid YAML: this cannot be read']],
    ['aliases upon aliases', bomb(), ['too many aliases']],
    ['brackets upon brackets', '['.repeat(100_000), ['not valid YAML']],
    ['more than can be a configuration', Buffer.alloc(10_000_000, '# canary\n'), ['GATEWAY_CONFIG: the file is larger than 1048576 bytes']],
  ])('%s', (_what, content, problems) => {
    const told = problemsOf(content);
    expect(told).toHaveLength(problems.length);
    for (const [index, problem] of problems.entries()) expect(told[index]).toContain(problem);
  });

  it('and so have all of them together, up to twenty', () => {
    const prices = Array.from({ length: 30 }, (_, index) => `  m${index}: { input: -1, output: 1 }`).join('\n');
    const problems = problemsOf(`prices:\n${prices}\n`);
    expect(problems).toHaveLength(21);
    expect(problems[19]).toMatch(/^21:\d+: prices\.m19\.input: /);
    expect(problems[20]).toBe('… and 10 more');
  });
});

describe('a gateway file', () => {
  it.each([
    ['empty', ''],
    ['nothing but comments', '# later\n'],
    ['begun with a byte order mark', '\ufeffaliases: {}\n'],
  ])('may be %s', (_what, content) => {
    expect(read(content)).toMatchObject({ deployments: [], aliases: {}, models: {}, providers: {}, prices: {} });
  });

  it('may write a value once and name it again', () => {
    const { deployments } = read(
      `deployments:\n${['a', 'b'].map((id) => `  - id: ${id}\n    baseUrl: http://h\n    prices: ${id === 'a' ? '&p { input: 1, output: 2 }' : '*p'}\n`).join('')}`,
    );
    expect(deployments.map(({ prices }) => prices)).toEqual([
      { input: 1, output: 2 },
      { input: 1, output: 2 },
    ]);
  });

  it('has models with shares and backups, and limits', () => {
    const file = read(
      `${OWN}    limits: { requestsPerMinute: 60 }\n${models('[{ use: pureai/own, weight: 0.5 }, { use: gpt-4o, backup: true }]')}providers: { openai: { limits: { concurrentRequests: 8 } } }`,
    );
    expect(file.models).toEqual({
      fast: {
        deployments: [
          { use: 'pureai/own', weight: 0.5, backup: false },
          { use: 'gpt-4o', weight: 1, backup: true },
        ],
      },
    });
    expect(file.deployments[0]?.limits).toEqual({ concurrentRequests: null, requestsPerMinute: 60 });
    expect(file.providers).toEqual({ openai: { limits: { concurrentRequests: 8, requestsPerMinute: null } } });
    expect(file.locate?.(['models', 'fast', 'deployments', 1, 'use'])).toBe('gateway.yaml:8:60');
    expect(file.locate?.(['models', 'fast'], 'name')).toBe('gateway.yaml:7:3');
  });
});

/** A few lines that stand for billions of values. */
function bomb(): string {
  const levels = Array.from(
    { length: 10 },
    (_, level) =>
      `l${level}: &l${level} [${
        level === 0
          ? 'a'
          : Array(10)
              .fill(`*l${level - 1}`)
              .join(', ')
      }]`,
  );
  return levels.join('\n');
}
