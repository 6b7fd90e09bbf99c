import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../src/config/config.ts';
import { ConfigError } from '../../src/config/config-error.ts';
import { ethereumAddress } from '../../src/config/ethereum-address.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'pura-capacity-'));
afterAll(() => rmSync(directory, { recursive: true }));

function read(capacity: string) {
  const file = path.join(directory, 'gateway.yaml');
  writeFileSync(file, `deployments: [{ id: own, baseUrl: "http://h", prices: { input: 0, output: 0 } }]\ncapacity: ${capacity}\n`);
  return loadConfig({ GATEWAY_CONFIG: file, ALLOW_SIMULATED: 'true' }).capacity;
}

const A = `0x${'a1'.repeat(20)}`;
const B = `0x${'b2'.repeat(20)}`;
const pool = (more: string) => `{ pool: { address: "${A}", members: { openai: "${B}" }${more} } }`;

describe('capacity', () => {
  it('is a number a provider, or a pool of Base Sepolia', () => {
    expect(read('{ weights: { openai: 3, own: 0.5, demo: 0 } }')).toEqual({ weights: { openai: 3, own: 0.5, demo: 0 } });
    const rpcUrls = ['https://sepolia.base.org'];
    const members = { openai: B };
    expect(read(pool(''))).toEqual({ pool: { address: A, members, rpcUrls, chainId: 84_532, refreshSeconds: 60 } });
    expect(read(pool(', rpcUrl: "http://n/v3/key/", chainId: 8453, refreshSeconds: 5'))).toMatchObject({
      pool: { rpcUrls: ['http://n/v3/key'], chainId: 8453, refreshSeconds: 5 },
    });
    expect(read(pool(', rpcUrls: ["http://n", "http://m"]'))).toMatchObject({ pool: { rpcUrls: ['http://n', 'http://m'] } });
  });

  it.each([
    ['nothing', '{}', 'either weights or pool'],
    ['both', `{ weights: { openai: 1 }, pool: { address: "${A}", members: { openai: "${B}" } } }`, 'either weights or pool'],
    ['a field that there is not', pool(', wieghts: 1'), 'capacity.pool.wieghts: is no setting there is'],
    ['no weight above 0', '{ weights: { openai: 0 } }', 'capacity.weights: must have one above 0'],
    ['a negative weight', '{ weights: { openai: -1 } }', 'capacity.weights.openai'],
    ['a weight without end', '{ weights: { openai: .inf } }', 'capacity.weights.openai'],
    ['a provider that there is not', '{ weights: { opnai: 1 } }', 'capacity.weights.opnai: is no public provider'],
    ['a member that there is not', `{ pool: { address: "${A}", members: { grok: "${B}" } } }`, 'capacity.pool.members.grok: is no public'],
    ['no member', `{ pool: { address: "${A}", members: {} } }`, 'capacity.pool.members: must name a provider'],
    [
      'one address twice',
      `{ pool: { address: "${A}", members: { openai: "${B}", own: "${B.toUpperCase().replace('X', 'x')}" } } }`,
      'members.own',
    ],
    [
      'an address without quotes',
      `{ pool: { address: ${A}, members: { openai: "${B}" } } }`,
      'capacity.pool.address: must be an address in quotes',
    ],
    ['a URL with a user', pool(', rpcUrl: "https://canary:canary@n/"'), 'capacity.pool.rpcUrl: must have no user in it'],
    ['no URL', pool(', rpcUrl: canary'), 'capacity.pool.rpcUrl'],
    ['one URL and several', pool(', rpcUrl: "http://n", rpcUrls: ["http://m"]'), 'capacity.pool.rpcUrls'],
    ['no URL of several', pool(', rpcUrls: []'), 'capacity.pool.rpcUrls'],
    ['a pause that is none', pool(', refreshSeconds: 1'), 'capacity.pool.refreshSeconds'],
    ['no chain', pool(', chainId: 0'), 'capacity.pool.chainId'],
  ])('stops the start with %s', (_what, capacity, message) => {
    expect(() => read(capacity)).toThrow(ConfigError);
    expect(() => read(capacity)).toThrow(message);
    expect(() => read(capacity)).not.toThrow('canary:');
  });
});

it('is as docs/router.md has it', () => {
  const examples = [...readFileSync('docs/router.md', 'utf8').matchAll(/^```yaml\n(capacity:\n.*?)^```/gms)].map(([, yaml = '']) => yaml);
  const file = path.join(directory, 'example.yaml');
  const loaded = examples.map((yaml) => {
    writeFileSync(file, yaml);
    return loadConfig({ GATEWAY_CONFIG: file }).capacity;
  });
  expect(loaded).toEqual([{ weights: expect.anything() }, { pool: expect.objectContaining({ chainId: 84_532, refreshSeconds: 60 }) }]);
});

/** From ERC-55's own list. */
const CHECKSUMMED = [
  '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
  '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
  '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
  '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
  '0x52908400098527886E0F7030069857D2E4169EE7',
  '0xde709f2102306220921060314715629080e2fb77',
];

describe('an address', () => {
  it.each(CHECKSUMMED)('is taken with its checksum, or without: %s', (address) => {
    const small = address.toLowerCase();
    const capital = `0x${address.slice(2).toUpperCase()}`;
    expect([address, small, capital].map((one) => ethereumAddress.parse(one))).toEqual([small, small, small]);
  });

  it.each(CHECKSUMMED.slice(0, 4))('is refused with any digit in the wrong case: %s', (address) => {
    const swapped = Array.from(address.slice(2)).flatMap((digit, index) => {
      const other = digit === digit.toLowerCase() ? digit.toUpperCase() : digit.toLowerCase();
      return other === digit ? [] : [address.slice(0, 2 + index) + other + address.slice(3 + index)];
    });
    expect(swapped.length).toBeGreaterThan(10);
    expect(swapped.filter((one) => ethereumAddress.safeParse(one).success)).toEqual([]);
  });

  it.each(['', '0x', A.slice(0, -1), `${A}0`, A.slice(2), A.replace('x', 'X'), A.replace('a', 'g'), ` ${A}`])('is not %j', (text) => {
    const { error } = ethereumAddress.safeParse(text);
    expect(error?.issues.map(({ message }) => message)).toEqual(['must be 0x and 40 hex digits']);
  });
});
