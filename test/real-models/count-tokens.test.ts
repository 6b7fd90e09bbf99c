import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { newPayer } from './payer.ts';
import { MODEL, openScene, type Scene } from './scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene.close());

it('@anthropic-ai/sdk counts the tokens of a prompt without money, and asks no provider', async () => {
  const { secret } = await newPayer(scene.gateway);
  const client = new Anthropic({ baseURL: scene.gateway.url, apiKey: secret });
  const count = async (content: string) =>
    (await client.messages.countTokens({ model: MODEL, messages: [{ role: 'user', content }] })).input_tokens;
  const few = await count('Hello.');
  expect(few).toBeGreaterThan(0);
  expect(await count('Tell me of the sea. '.repeat(100))).toBeGreaterThan(few + 100);
  expect(scene.tap.tapped).toHaveLength(0);
});
