import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { chat } from '../support/chat.ts';
import { completion, contentEvent, finishEvent, startFakeProvider, usageEvent, type FakeProvider } from '../support/fake-provider.ts';
import { randomFrom } from '../support/random.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';

/** So many requests without a preference go to both of two deployments. */
const TURNS = 32;
const LONG = { prompt_tokens: 2_000, completion_tokens: 5, total_tokens: 2_005 };

const upstreams = new Map<string, FakeProvider>();
let gateway: TestGateway;
let key: TestKey;

beforeAll(async () => {
  for (const id of ['left', 'right']) upstreams.set(id, await startFakeProvider());
  const deployments = [...upstreams].map(([id, upstream]) => upstream.deployment({ id }));
  const serving = [...upstreams.keys()].map((id) => ({ use: `pureai/${id}`, weight: 1, backup: false }));
  gateway = await startGateway({ deployments, config: { models: { both: { deployments: serving } } }, random: randomFrom(7) });
});

beforeEach(async () => {
  key = await gateway.newKey();
  tellUsage(LONG);
});

afterAll(async () => {
  await gateway.close();
  await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
});

function tellUsage(usage: object): void {
  for (const upstream of upstreams.values()) {
    upstream.always(async (exchange) => {
      if (exchange.body['stream'] !== true) return exchange.json(completion({ usage }));
      exchange.startStream();
      await exchange.send([contentEvent('Hello.'), finishEvent(), usageEvent(usage), 'data: [DONE]\n\n'].join(''));
      exchange.end();
    });
  }
}

/** Who answers one turn of a conversation. */
async function turn(number: number, members: object = {}): Promise<string> {
  const said = Array.from({ length: number }, (_, index) => [
    { role: 'assistant', content: `Answer ${index}.` },
    { role: 'user', content: `Question ${index + 1}.` },
  ]);
  const messages = [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Question 0.' }, ...said.flat()];
  const answer = await gateway.post('/v1/chat/completions', chat({ model: 'both', messages, max_tokens: 9, ...members }), key);
  await answer.text();
  return `${answer.status} ${answer.headers.get('x-pura-provider')}`;
}

async function turns(members: object = {}, from = 0): Promise<Set<string>> {
  const served = new Set<string>();
  for (let number = from; number < from + TURNS; number++) served.add(await turn(number % 4, members));
  return served;
}

it.each([false, true])('a conversation stays where its prompt is cached (stream: %s)', async (stream) => {
  expect((await turns({ stream })).size).toBe(1);
});

it('a prompt too short to be cached goes wherever there is room', async () => {
  tellUsage({ prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 });
  expect(await turns()).toEqual(new Set(['200 left', '200 right']));
});

it('but stays where its client names what is cached of it', async () => {
  tellUsage({ prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 });
  expect((await turns({ prompt_cache_key: 'mine' })).size).toBe(1);
});

it('turns side by side move it nowhere', async () => {
  const first = await turn(0);
  const served = await Promise.all(Array.from({ length: TURNS }, (_, index) => turn(index % 4)));
  expect(new Set(served)).toEqual(new Set([first]));
});

it('a conversation moves where its deployment fails, and stays there', async () => {
  const [before] = await turns();
  upstreams.get(String(before).split(' ')[1] as string)?.script((exchange) => exchange.error(500));
  const after = await turn(3);
  expect(after).not.toBe(before);
  expect(await turns()).toEqual(new Set([after]));
});
