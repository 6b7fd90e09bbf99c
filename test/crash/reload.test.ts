import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { chat } from '../support/chat.ts';
import { createSite, type GatewaySite } from '../support/gateway-process.ts';
import { until } from '../support/until.ts';

let site: GatewaySite;
beforeAll(() => {
  site = createSite();
});
afterAll(() => site.close());

it('SIGHUP reads the file again; the database goes on, and a file with a mistake changes nothing', async () => {
  const file = path.join(path.dirname(site.dataDir), 'gateway.yaml');
  const gateway = await site.start();
  const key = await gateway.newKey();
  const ask = async () => (await gateway.post('/v1/chat/completions', chat({ model: 'mine' }), key)).status;
  const reread = async (content: string, told: string) => {
    writeFileSync(file, content);
    gateway.signal('SIGHUP');
    await until(() => gateway.output().includes(told));
  };
  expect(await ask()).toBe(404);
  await reread('aliases:\n  mine: demo-mid\n', 'is in force');
  expect(await ask()).toBe(200);
  await reread('aliases:\n  mine: demo-mid\n  mine: canary\n', 'gateway.yaml:3:3: not valid YAML');
  expect(await ask()).toBe(200);
  expect(gateway.output()).not.toContain('canary');
  expect(await gateway.end('SIGTERM')).toMatchObject({ code: 0 });
});
