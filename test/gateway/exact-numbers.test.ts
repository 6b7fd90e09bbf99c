import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { DEFAULT_USAGE, startFakeProvider, type FakeProvider } from '../support/fake-provider.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

let upstream: FakeProvider;
let gateway: TestGateway;

beforeAll(async () => {
  upstream = await startFakeProvider();
  gateway = await startGateway({ deployments: [upstream.deployment({ allowParameters: ['guided_choice'] })] });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  await upstream.close();
});

it('numbers that a double would change go upstream and come back as they were written', async () => {
  const schema =
    '{"type":"integer","maximum":9223372036854775807,"enum":[2512292042121000001,-1E+400],"multipleOf":0.10000000000000000555}';
  const members = [
    '"seed":9223372036854775807',
    `"tools":[{"type":"function","function":{"name":"f","parameters":${schema}}}]`,
    '"guided_choice":[18446744073709551615]',
  ];
  const choices = '[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop","id":9223372036854775807}]';
  upstream.script(async (exchange) => {
    exchange.startStream({ 'content-type': 'application/json' });
    const usage = JSON.stringify(DEFAULT_USAGE).replace('}', ',"queue_time":0.12345678901234567890}');
    await exchange.send(`{"choices":${choices},"usage":${usage},"nanoseconds":1764288000123456789}`);
    exchange.end();
  });
  const body = `{"model":"pureai/fake","messages":[{"role":"user","content":"hi"}],"n":1,${members.join(',')}}`;
  const answer = await gateway.post('/v1/chat/completions', body, await gateway.newKey());
  const text = await answer.text();

  expect(answer.status).toBe(200);
  const sent = upstream.requests.at(-1)?.rawBody.toString();
  for (const member of members) expect(sent).toContain(member);
  expect(text).toContain(`"choices":${choices}`);
  expect(text).toContain('"nanoseconds":1764288000123456789');
  expect(JSON.parse(text)).toMatchObject({ usage: { ...DEFAULT_USAGE, total_cost_usd: 0.00002, total_cost_msat: 20 } });
});

it('but of an answer with very many, as a long one with log probabilities, each comes back as the double that it is', async () => {
  const logprobs = (count: number) => `[${Array.from({ length: count }, () => '1e-1').join(',')}]`;
  const answerWith = async (count: number): Promise<string> => {
    const body = `\ufeff{"choices":[{"index":0,"message":{"content":"x"},"logprobs":${logprobs(count)}}],"usage":${JSON.stringify(DEFAULT_USAGE)}}`;
    upstream.script((exchange) => exchange.raw(body, { headers: { 'content-type': 'application/json' } }));
    const answer = await gateway.post(
      '/v1/chat/completions',
      { model: 'pureai/fake', messages: [{ role: 'user', content: 'hi' }] },
      await gateway.newKey(),
    );
    return answer.text();
  };
  expect(await answerWith(90_000)).toContain(logprobs(90_000));
  expect(await answerWith(110_000)).toContain(logprobs(110_000).replaceAll('1e-1', '0.1'));
});
