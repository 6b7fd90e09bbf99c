import { afterAll, beforeAll, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { newPayer, type Payer } from './payer.ts';
import { EMBEDDING_MODEL as model, openScene, type Scene } from './scene.ts';

let scene: Scene;
let payer: Payer;
let client: OpenAI;
beforeAll(async () => {
  scene = await openScene();
  payer = await newPayer(scene.gateway);
  await payer.fund(1_000);
  client = new OpenAI({ baseURL: `${scene.gateway.url}/v1`, apiKey: payer.secret });
});
afterAll(async () => {
  const { output } = await scene.site.run(['src/audit.ts']);
  await scene.close();
  expect(output).toContain('every invariant holds');
});

const WIDTH = 640;

/** What the model server counted in its last answer. */
function countedTokens(): number {
  const { answer } = scene.tap.tapped.at(-1) ?? { answer: '{}' };
  return (JSON.parse(answer) as { usage: { prompt_tokens: number } }).usage.prompt_tokens;
}

it('openai gets an embedding of each input, for what the model server counted', async () => {
  const before = await payer.requests();
  const { data, usage } = await client.embeddings.create({
    model,
    input: ['Hello there', 'A lighthouse by the sea.'],
    encoding_format: 'float',
  });
  const row = await payer.requestAfter(before);
  expect(data.map(({ index }) => index)).toEqual([0, 1]);
  // This server gives a vector of each token.
  for (const { embedding } of data) expect(embedding[0]).toHaveLength(WIDTH);
  expect(usage.prompt_tokens).toBe(countedTokens());
  expect(row).toMatchObject({ path: '/v1/embeddings', model, outcome: 'ok', promptTokens: countedTokens(), completionTokens: 0 });
  expect(row.chargedMsat).toBe(countedTokens());
});
