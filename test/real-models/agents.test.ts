import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import type { FakeProvider } from '../support/fake-provider.ts';
import { createSite, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import { AGENTS, type Agent } from './agent.ts';
import { startAgentProvider } from './agent-provider.ts';
import { AGENTS_VARIABLE } from './global-setup.ts';
import { newPayer, type Payer } from './payer.ts';
import { shownInvoice } from './shown-invoice.ts';

const MODEL = 'pureai/fake';
/** What stands in the file that the agents are to read: they cannot know it. */
const SECRET = `the word is ${randomUUID()}`;
const TASK = 'Read hello.txt and tell me what it says.';

const directory = mkdtempSync(path.join(tmpdir(), 'pura-agents-'));
const work = path.join(directory, 'work');

let provider: FakeProvider;
let database: TestDatabase;
let site: GatewaySite;
let gateway: GatewayProcess;

beforeAll(async () => {
  mkdirSync(work);
  writeFileSync(path.join(work, 'hello.txt'), SECRET);
  provider = await startAgentProvider(path.join(work, 'hello.txt'));
  database = await createTestDatabase();
  const env = { DATABASE_URL: database.connectionString, FREE_TIER_REQUESTS: '0' };
  site = createSite({ deployments: [provider.deployment()], env });
  gateway = await site.start();
});

afterAll(async () => {
  const { output } = await site.run(['src/audit.ts']);
  await site.close();
  await database.drop();
  await provider.close();
  rmSync(directory, { recursive: true, force: true });
  expect(output).toContain('every invariant holds');
});

describe.each(AGENTS)('$name', (agent) => {
  const home = path.join(directory, agent.name);
  mkdirSync(home);
  let payer: Payer;
  let refusal: string;
  beforeAll(async () => {
    payer = await newPayer(gateway);
  });
  const run = (by: Agent) =>
    by.run({ bin: process.env[AGENTS_VARIABLE] ?? '', home, work, url: gateway.url, secret: payer.secret, model: MODEL }, TASK);

  it('shows the URL of the invoice where there is no money, and no provider is asked', async () => {
    const { code, output } = await run(agent);
    expect(output).toContain(`${gateway.url}/invoice/`);
    expect(output).not.toContain(SECRET);
    expect(code).not.toBe(0);
    expect(provider.requests).toHaveLength(0);
    refusal = output;
  });

  it('does its task with a tool once that invoice is paid, and every request is charged', async () => {
    await payer.pay(await shownInvoice(refusal));
    const { code, output } = await run(agent);
    expect(output).toContain(SECRET);
    expect(code).toBe(0);

    const served = (await payer.requests()).filter(({ status }) => status === 200);
    expect(served.length).toBeGreaterThanOrEqual(2);
    expect(served).toHaveLength(provider.requests.length);
    for (const row of served)
      expect(row).toMatchObject({ path: agent.path, outcome: 'ok', promptTokens: 1_000, completionTokens: 20, chargedMsat: 1_040 });
    const charged = served.length * 1_040;
    expect(await payer.totals()).toEqual({ reportedMsat: charged, statedMsat: charged });
    provider.forget();
  });
});
