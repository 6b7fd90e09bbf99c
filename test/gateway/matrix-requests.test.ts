import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decode } from '../support/decoded-answer.ts';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { GENERATING, PATHS, SURFACES, type SurfaceName } from '../support/surface-requests.ts';
import { transcriptBytes, transcriptsOf } from '../support/transcripts.ts';

/** The requests that got the recorded answers (images, tools and their results, schemas, thoughts with their seals), to providers of every wire. */

const FOLDERS: Readonly<Record<SurfaceName, readonly string[]>> = {
  'openai-chat': ['openai-chat', 'deepseek', 'groq', 'custom'],
  'openai-responses': ['openai-responses'],
  'anthropic-messages': ['anthropic'],
};
/** What is asked for at other paths. */
const ELSEWHERE = /count-tokens/;

const requests = SURFACES.flatMap((surface) =>
  FOLDERS[surface]
    .flatMap(transcriptsOf)
    .flatMap(({ request }) =>
      request === undefined || ELSEWHERE.test(request) ? [] : GENERATING.map((wire) => ({ request, surface, wire })),
    ),
);

let upstream: FakeUpstream;
let gateway: TestGateway;
let key: TestKey;

(requests.length > 0 ? describe : describe.skip)('a recorded request', () => {
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    const facts = { imageTokens: 2_000, remoteImages: true, documents: true, contextWindow: 200_000, maxOutputTokens: 64_000 };
    gateway = await startGateway({
      deployments: GENERATING.map((wire) => upstream.deployment(wire, facts)),
      env: { FREE_TIER_REQUESTS: '0' },
    });
    key = await gateway.newKey({ dailyBudgetUsd: 1_000 });
    await gateway.fund(key, 1_000_000);
  });

  afterAll(async () => {
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
    await upstream.close();
  });

  it('is there in many kinds', () => expect(requests.length).toBeGreaterThan(150));

  it.each(requests)('$request to a provider of $wire', async ({ request, surface, wire }) => {
    const said = JSON.parse(transcriptBytes(request).toString()) as { stream?: boolean };
    const answer = await gateway.post(PATHS[surface], { ...said, model: `pureai/${wire}` }, key);
    const body = await answer.text();
    expect({ status: answer.status, body: answer.status === 200 ? '' : body }).toEqual({ status: 200, body: '' });
    expect(decode(surface, body, said.stream === true)).toMatchObject({ text: 'Hello.', finish: 'stop', failed: false });
  });
});
