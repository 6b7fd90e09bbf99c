import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import OpenAI from 'openai';
import { GatewayError } from '../../../src/errors.ts';
import { parseBody } from '../../../src/wires/parse-json.ts';
import { openAiEmbeddings } from '../../../src/wires/openai-embeddings/surface.ts';
import { openAiEmbeddingsUpstream } from '../../../src/wires/openai-embeddings/upstream.ts';
import { base64Of, floatsOf } from '../../../src/wires/openai-embeddings/vector.ts';
import type { InferenceRequest } from '../../../src/wires/request.ts';
import { ZERO_USAGE } from '../../../src/wires/usage.ts';
import { withCannedServer } from '../../support/canned-server.ts';
import { targetOf } from '../../support/inference-request.ts';
import { recordedRequests } from '../../support/recorded-clients.ts';
import { transcriptBytes, transcriptsOf } from '../../support/transcripts.ts';

const CONTEXT = { requestId: 'r1', model: 'm', created: 1, promptTokens: 9 };
const answers = transcriptsOf('openai-embeddings').filter(({ status }) => status === 200);

function parse(body: unknown): InferenceRequest {
  return openAiEmbeddings.parse(parseBody(Buffer.from(JSON.stringify(body))), { streamDefault: false });
}

describe('an embeddings request', () => {
  it.each([
    ['hi', ['hi']],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
    [[1, 2, 3], [[1, 2, 3]]],
    [
      [[1], [2, 3]],
      [[1], [2, 3]],
    ],
  ])('%j is as many inputs as it says', (input, inputs) => {
    expect(parse({ input }).embedding().inputs).toEqual(inputs);
  });

  it.each([
    [{}, 'input'],
    [{ input: null }, 'input'],
    [{ input: '' }, 'input'],
    [{ input: [] }, 'input'],
    [{ input: ['a', ''] }, 'input.1'],
    [{ input: ['a', 1] }, 'input.1'],
    [{ input: [1, 'a'] }, 'input.1'],
    [{ input: [[1], []] }, 'input.1'],
    [{ input: [[1], [1.5]] }, 'input.1.0'],
    [{ input: [-1] }, 'input.0'],
    [{ input: {} }, 'input'],
    [{ input: Array.from({ length: 2049 }, () => 'a') }, 'input'],
    [{ input: 'a', stream: true }, 'stream'],
    [{ input: 'a', encoding_format: 'int8' }, 'encoding_format'],
    [{ input: 'a', dimensions: 0 }, 'dimensions'],
    [{ input: 'a', unheard_of: 1 }, 'unheard_of'],
  ])('%j is refused, the field named', (body, param) => {
    expect(() => parse(body)).toThrow(GatewayError);
    expect(() => parse(body)).toThrow(expect.objectContaining({ detail: expect.objectContaining({ param }) }));
  });

  it('says in bounded time what is wrong with very many tokens', () => {
    const input = Array.from({ length: 300_000 }, (_one, index) => (index === 0 ? 1 : 'a'));
    const begin = performance.now();
    expect(() => openAiEmbeddings.parse({ fields: { input }, verbatim: { input }, bodyBytes: 1 }, { streamDefault: false })).toThrow(
      GatewayError,
    );
    expect(performance.now() - begin).toBeLessThan(1000);
  });

  it('goes to a provider of the same wire as it came', () => {
    const body = { model: 'm', input: ['a', 'b'], dimensions: 5, encoding_format: 'base64', user: 'ann', input_type: 'query' };
    const request = parse(body);
    expect(openAiEmbeddingsUpstream.obstacle(request, targetOf())).toBeNull();
    const { path, ignored, promptText, body: write } = openAiEmbeddingsUpstream.render(request, targetOf());
    expect(path).toBe('/embeddings');
    expect(ignored).toEqual(['input_type']);
    expect(promptText()).toBe('["a","b"]');
    const { input_type: _hint, ...sent } = body;
    expect(JSON.parse(write(0, 'hash').toString())).toEqual({ ...sent, model: 'upstream-model', user: 'hash' });
    const refusing = targetOf({}, { refuses: ['dimensions'] });
    expect(openAiEmbeddingsUpstream.obstacle(request, refusing)?.detail.param).toBe('dimensions');
  });

  it('is understood from every recorded client', () => {
    for (const { body } of recordedRequests('/v1/embeddings')) expect(parse(body).embedding().inputs.length).toBeGreaterThan(0);
  });
});

describe('vectors', () => {
  it('are the same as floats and as base64', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true })), (vector) => {
        expect(floatsOf(base64Of(vector))).toEqual(vector);
        expect(base64Of(floatsOf(base64Of(vector)))).toBe(base64Of(vector));
      }),
    );
  });

  it.each(['float', undefined] as const)('are read by the openai SDK: %s', async (encoding) => {
    const request = parse({ input: 'a', encoding_format: encoding ?? 'base64' });
    const answer = { completions: [], usage: { ...ZERO_USAGE, input: 3 }, embeddings: [[0.5, -1.25], base64Of([2])] };
    const body = openAiEmbeddings.body(answer, request, CONTEXT);
    const read = await withCannedServer('application/json', JSON.stringify(body), (baseURL) =>
      new OpenAI({ apiKey: 'k', baseURL }).embeddings.create({ model: 'm', input: 'a', ...(encoding && { encoding_format: encoding }) }),
    );
    expect(read.data.map(({ embedding }) => embedding)).toEqual([[0.5, -1.25], [2]]);
    expect(read.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
  });
});

describe('an answer', () => {
  (answers.length > 0 ? it.each(answers) : it.skip.each([{ file: 'none', usage: null }]))(
    '$file is read and made whole',
    ({ file, usage }) => {
      const body = JSON.parse(transcriptBytes(file).toString()) as { data: { embedding: string | number[] }[] };
      const read = openAiEmbeddingsUpstream.read(body);
      expect(read.failure).toBeUndefined();
      expect(read.isAnswer).toBe(true);
      expect(read.usage).toEqual({ ...ZERO_USAGE, input: usage?.uncachedInput });
      expect(read.answer().embeddings).toEqual(body.data.map(({ embedding }) => embedding));
      const costs = { total_cost_usd: 1 };
      const whole = openAiEmbeddings.withFigures(body, { billed: { ...ZERO_USAGE, input: 7 }, costs }, CONTEXT);
      expect(whole).toMatchObject({ data: body.data, usage: { prompt_tokens: 7, total_tokens: 7, total_cost_usd: 1 } });
    },
  );

  it('puts vectors in the order of their inputs', () => {
    const data = [
      { index: 1, embedding: [2] },
      { index: 0, embedding: [1] },
    ];
    expect(openAiEmbeddingsUpstream.read({ data }).answer().embeddings).toEqual([[1], [2]]);
  });

  it.each([
    [{ total_tokens: 5 }, 5],
    [{ prompt_tokens: 4, total_tokens: 9 }, 4],
    [{ prompt_tokens: -1 }, undefined],
    [null, undefined],
  ])('with usage %j counts %s', (usage, prompt) => {
    const read = openAiEmbeddingsUpstream.read({ data: [], usage });
    expect(read.usage?.input).toBe(prompt);
    expect(read.usage?.output ?? 0).toBe(0);
  });

  it('tells of a failure', () => {
    expect(openAiEmbeddingsUpstream.read({ error: { message: 'no' } }).failure).toEqual({ message: 'no' });
  });
});
