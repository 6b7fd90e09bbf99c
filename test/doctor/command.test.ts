import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import type { Report } from '../../src/doctor/report.ts';
import { createSite, type GatewaySite } from '../support/gateway-process.ts';

const SECRET = randomBytes(32).toString('hex');
let site: GatewaySite;
beforeAll(() => {
  site = createSite({ env: { SECRET_KEY: SECRET } });
});
afterAll(() => site.close());

const doctor = (args: readonly string[] = [], env: Record<string, string> = {}) => site.run(['src/doctor.ts', ...args], env);
const levels = ({ findings }: Report) => Object.fromEntries(findings.map(({ check, level }) => [check, level]));

it('before the first start it says so, and makes nothing', async () => {
  const { code, output } = await doctor();
  expect([code, output]).toEqual([0, expect.stringContaining('the first start makes the embedded database')]);
  expect(() => readdirSync(site.dataDir)).toThrow('ENOENT');
});

it('beside a gateway with its embedded database it finds all in order', async () => {
  const gateway = await site.start();
  const { code, output } = await doctor(['--json'], { PUBLIC_URL: gateway.url });
  const report = JSON.parse(output) as Report;
  expect(levels(report)).toMatchObject({
    ...{ configuration: 'ok', database: 'ok', migrations: 'ok', clock: 'ok', gateways: 'ok', PUBLIC_URL: 'ok', disk: expect.any(String) },
    ...{ wallet: 'note', 'exchange rate': 'ok', 'open files': expect.any(String), Node: 'ok' },
  });
  expect({ sound: report.sound, code }).toEqual({ sound: true, code: 0 });
  expect(output).not.toContain(SECRET);
  expect((await gateway.get('/ready')).status).toBe(200);
  await gateway.end('SIGTERM');
});

it('where the database does not run it starts none', async () => {
  const { code, output } = await doctor();
  expect([code, output]).toEqual([0, expect.stringContaining('the embedded database does not run')]);
  expect(() => site.postmasterPid()).toThrow('not running');
});

it('is a 1 where something is wrong, and tells what to do', async () => {
  const { code, output } = await doctor([], { DATABASE_URL: 'postgres://pura:canary@127.0.0.1:1/pura', PORT: 'eighty' });
  expect(code).toBe(1);
  expect(output).toMatch(/PROBLEM +configuration +PORT.*\n +-> .*\.\n/);
  expect(output).toMatch(/PROBLEM +database +the database does not answer: .*ECONNREFUSED.*\n +-> Start PostgreSQL/);
  expect(output).toMatch(/Node +\d+\.\d+/);
  expect(output).not.toContain('canary');
});

it('is a 2 where it cannot look', async () => {
  expect(await doctor(['--fix'])).toMatchObject({ code: 2, output: expect.stringContaining('--fix') });
});
