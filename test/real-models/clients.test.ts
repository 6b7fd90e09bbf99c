import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { holdsOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';
import { AI_SDK_CLIENTS } from './ai-sdk-clients.ts';
import { ANTHROPIC_CLIENT } from './anthropic-client.ts';
import { Refused, type Client, type Said, type Task } from './client.ts';
import { PYTHON_VARIABLE } from './global-setup.ts';
import { OPENAI_CLIENTS } from './openai-clients.ts';
import { newPayer, type Payer, type RequestRow } from './payer.ts';
import { shownInvoice } from './shown-invoice.ts';
import { startPythonClients } from './python-clients.ts';
import { costMsat, countedBy, MODEL, openScene, TEXT_MODEL, type Scene } from './scene.ts';
import type { Tapped } from './tap.ts';

const python = startPythonClients(process.env[PYTHON_VARIABLE] ?? 'python3');
const PUBLISHED = [...OPENAI_CLIENTS, ANTHROPIC_CLIENT, ...AI_SDK_CLIENTS, ...python.clients];
/** What every client asks of a provider that chats, those of the legacy wire ask of one that speaks it too. */
const CLIENTS = [
  ...PUBLISHED.map((client) => ({ ...client, model: MODEL })),
  ...PUBLISHED.filter(({ path }) => path === '/v1/completions').map((client) => ({
    ...client,
    name: `${client.name}, untranslated`,
    model: TEXT_MODEL,
  })),
];

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(async () => {
  await python.close();
  const { code, output } = await scene.site.run(['src/audit.ts']);
  await scene.close();
  expect(output).toContain('every invariant holds');
  expect(code).toBe(0);
});

const QUESTION = { prompt: 'Name the colours of the rainbow, one after the other.', maxTokens: 24 };
/** Enough words for somebody to leave in the middle of. */
const STORY = { prompt: 'Tell me a long story about a lighthouse and the sea.', maxTokens: 200, stream: true };

/** One request, from all sides: what the client got, what the gateway recorded, what the model server saw. */
interface Told {
  said: Said;
  row: RequestRow;
  tapped: Tapped;
}

async function ask(client: Client & Pick<Task, 'model'>, payer: Payer, task: Omit<Task, 'model'>): Promise<Told> {
  const before = await payer.requests();
  const seen = scene.tap.tapped.length;
  const said = await client.say({ url: scene.gateway.url, secret: payer.secret }, { ...task, model: client.model });
  const row = await payer.requestAfter(before);
  expect(scene.tap.tapped).toHaveLength(seen + 1);
  const tapped = await until(() => scene.tap.tapped.at(-1));
  await until(() => tapped.over);
  return { said, row, tapped };
}

describe.each(CLIENTS)('$name', (client) => {
  let payer: Payer;
  beforeAll(async () => {
    payer = await newPayer(scene.gateway);
    await payer.fund(1_000);
  });

  it('gets a JSON answer, for what the model server counted', async () => {
    const { said, row, tapped } = await ask(client, payer, QUESTION);
    expect(said.texts).toEqual([expect.stringMatching(/\w/)]);
    const counted = countedBy(tapped);
    expect(row).toMatchObject({
      path: client.path,
      model: client.model,
      stream: false,
      outcome: 'ok',
      status: 200,
      funding: 'wallet',
      ...counted,
    });
    expect(row.chargedMsat).toBe(costMsat(counted.promptTokens, counted.completionTokens));
  });

  it('gets a stream without usage, for what the gateway counted', async () => {
    const { said, row, tapped } = await ask(client, payer, { ...QUESTION, stream: true });
    expect(tapped.whole).toBe(true);
    expect(tapped.answer).not.toContain('"usage"');
    expect(said.texts).toEqual([expect.stringMatching(/\w/)]);
    expect(row).toMatchObject({ path: client.path, stream: true, outcome: 'ok', status: 200 });
    expect(row.completionTokens).toBe(Math.min(QUESTION.maxTokens, countOf(said.texts.join(''))));
    expect(row.promptTokens).toBeGreaterThanOrEqual(countOf(QUESTION.prompt));
    expect(row.promptTokens).toBeLessThanOrEqual(Buffer.byteLength(JSON.stringify(tapped.request)));
    await expectChargeWithinHold(payer, row);
  });

  it('leaves in the middle of a stream: the model stops, and what came is paid', async () => {
    const { said, row, tapped } = await ask(client, payer, { ...STORY, leaveAfter: 3 });
    expect(said.texts).toEqual([expect.stringMatching(/\w/)]);
    expect(tapped.whole).toBe(false);
    expect(row.outcome).toBe('client_gone');
    expect(row.completionTokens).toBeGreaterThanOrEqual(countOf(said.texts.join('')));
    expect(row.completionTokens).toBeLessThanOrEqual(STORY.maxTokens);
    await expectChargeWithinHold(payer, row);
  });

  it('is held to its cap', async () => {
    const { said, row, tapped } = await ask(client, payer, { ...QUESTION, maxTokens: 5 });
    expect(said.finish).toBe(client.capped);
    expect(tapped.request).toMatchObject({ max_tokens: 5 });
    expect(countedBy(tapped).completionTokens).toBe(5);
    expect(row.completionTokens).toBe(5);
  });

  (client.canStop ? it : it.skip)('ends before a stop word', async () => {
    const { said: whole } = await ask(client, payer, QUESTION);
    const stop = wordInTheMiddle(whole.texts[0] ?? '');
    const { said, row, tapped } = await ask(client, payer, { ...QUESTION, stop });
    expect(said.texts[0]).not.toContain(stop);
    expect(whole.texts[0]).toContain(said.texts[0]?.trimEnd());
    const counted = countedBy(tapped);
    expect(row.chargedMsat).toBe(costMsat(counted.promptTokens, counted.completionTokens));
  });

  (client.canAskForMore ? it : it.skip)(
    'asks for two answers, and pays for what the model server counted of those that it gave',
    async () => {
      const { said, row, tapped } = await ask(client, payer, { ...QUESTION, n: 2 });
      expect(tapped.request).toMatchObject({ n: 2 });
      expect(said.texts).toHaveLength((JSON.parse(tapped.answer) as { choices: unknown[] }).choices.length);
      const counted = countedBy(tapped);
      expect(row.chargedMsat).toBe(costMsat(counted.promptTokens, counted.completionTokens));
      expect(await lastHold(payer)).toBeGreaterThanOrEqual(costMsat(0, 2 * QUESTION.maxTokens));
    },
  );

  it('is told of a model that is not there, and of a key that is none', async () => {
    const { url } = scene.gateway;
    const seen = scene.tap.tapped.length;
    await expect(client.say({ url, secret: payer.secret }, { ...QUESTION, model: 'pureai/none' })).rejects.toMatchObject({ status: 404 });
    await expect(client.say({ url, secret: 'pura_none' }, { ...QUESTION, model: client.model })).rejects.toMatchObject({ status: 401 });
    expect(scene.tap.tapped).toHaveLength(seen);
  });

  it.each([false, true])('is shown the invoice of a 402, and goes on once it is paid (stream: %s)', async (stream) => {
    const poor = await newPayer(scene.gateway);
    const seen = scene.tap.tapped.length;
    const refusal: unknown = await client
      .say({ url: scene.gateway.url, secret: poor.secret }, { ...QUESTION, model: client.model, stream })
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(Refused);
    expect(refusal).toMatchObject({ status: 402, message: expect.stringContaining(`${scene.gateway.url}/invoice/`) });
    expect(scene.tap.tapped).toHaveLength(seen);
    await poor.pay(await shownInvoice((refusal as Refused).message));
    const { said } = await ask(client, poor, { ...QUESTION, stream });
    expect(said.texts).toEqual([expect.stringMatching(/\w/)]);
  });

  it('was charged what its report and its statement say', async () => {
    const charged = (await payer.requests()).reduce((sum, { chargedMsat }) => sum + chargedMsat, 0);
    expect(charged).toBeGreaterThan(0);
    expect(await payer.totals()).toEqual({ reportedMsat: charged, statedMsat: charged });
  });
});

/** The gateway's own count for a tokenizer that it does not know: a quarter of the bytes. */
function countOf(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 4);
}

function wordInTheMiddle(text: string): string {
  const words = text.split(/\W+/).filter(Boolean);
  const word = words.slice(Math.floor(words.length / 2)).find((each) => text.indexOf(each) > 0);
  if (!word) throw new Error(`no word in the middle of ${JSON.stringify(text)}`);
  return word;
}

async function lastHold(payer: Payer): Promise<number> {
  return Number((await holdsOf(scene.database.pool, payer.accountId)).at(-1)?.amount_msat);
}

async function expectChargeWithinHold(payer: Payer, row: RequestRow): Promise<void> {
  expect(row.chargedMsat).toBe(costMsat(row.promptTokens, row.completionTokens));
  expect(row.chargedMsat).toBeGreaterThan(0);
  expect(row.chargedMsat).toBeLessThanOrEqual(await lastHold(payer));
}
