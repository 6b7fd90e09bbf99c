import { describe, expect, it } from '@jest/globals';
import { geminiEmbedUpstream } from '../../../src/wires/gemini-embed/upstream.ts';
import { embeddingRequest, target } from '../../support/generation.ts';
import { transcriptBytes, transcriptsOf } from '../../support/transcripts.ts';

const vectors = (...values: unknown[]) => ({ embeddings: values.map((one) => ({ values: one })) });

describe('requests for embeddings', () => {
  it('asks for a vector of every text, as long as the client wants it', () => {
    const request = embeddingRequest({ inputs: ['a', 'b'], dimensions: 256 }, { own: { user: 'u' } });
    const rendering = geminiEmbedUpstream.render(request, target({}, {}, { model: 'gemini-embedding-001' }));
    expect(rendering.path).toBe('/models/gemini-embedding-001:batchEmbedContents');
    expect(rendering.ignored).toEqual(['user']);
    expect(rendering.promptText()).toBe('a\nb');
    expect(JSON.parse(rendering.body(0, 'hash').toString())).toEqual({
      requests: ['a', 'b'].map((text) => ({
        model: 'models/gemini-embedding-001',
        content: { parts: [{ text }] },
        outputDimensionality: 256,
      })),
    });
  });

  it.each([
    ['texts', { inputs: ['a', 'b'] }, undefined],
    ['tokens', { inputs: ['a', [1, 2]] }, 'input.1'],
    ['tokens alone', { inputs: [[1, 2]] }, 'input'],
    ['an empty text', { inputs: [''] }, 'input'],
    ['more texts than one call takes', { inputs: Array.from({ length: 101 }, () => 'a') }, 'input'],
  ])('%s', (_, of, param) => {
    expect(geminiEmbedUpstream.obstacle(embeddingRequest(of), target())?.detail.param).toBe(param);
  });

  it('refuses a length of vectors where the model has one, and a field without a rule', () => {
    const refused = geminiEmbedUpstream.obstacle(embeddingRequest({ dimensions: 8 }), target({}, { refuses: ['dimensions'] }));
    expect(refused?.detail.param).toBe('dimensions');
    expect(geminiEmbedUpstream.obstacle(embeddingRequest({}, { unruled: ['mystery'] }), target())?.detail.param).toBe('mystery');
  });
});

describe('answers with embeddings', () => {
  const request = embeddingRequest({ inputs: ['a', 'b'] });

  it.each([
    ['a vector for each', vectors([1, 2], [3, 4]), true],
    ['one too few', vectors([1, 2]), false],
    ['one too many', vectors([1], [2], [3]), false],
    ['an empty vector', vectors([1], []), false],
    ['a vector of texts', vectors([1], ['2']), false],
    ['a vector left out', { embeddings: [{ values: [1] }, {}] }, false],
    ['nothing', {}, false],
    ['no object', null, false],
  ])('%s', (_, body, isAnswer) => {
    const read = geminiEmbedUpstream.read(body, request);
    expect(read.isAnswer).toBe(isAnswer);
    expect(read.answer().embeddings?.length).toBe(isAnswer ? 2 : 0);
    expect([read.failure, read.usage]).toEqual([undefined, null]);
  });

  it('tells the figures of models that have some, and failures', () => {
    const body = { ...vectors([1], [2]), usageMetadata: { promptTokenCount: 7 } };
    expect(geminiEmbedUpstream.read(body, request).usage).toMatchObject({ input: 7, output: 0 });
    expect(geminiEmbedUpstream.read({ error: { code: 429 } }, request).failure).toEqual({ code: 429 });
  });

  const recorded = transcriptsOf('gemini').filter(({ file }) => file.includes('embeddings'));
  (recorded.length > 0 ? it.each(recorded) : it.skip.each([{ file: 'none', request: '' }]))('$file', ({ file, request: sent = '' }) => {
    const wire = JSON.parse(transcriptBytes(sent).toString()) as {
      requests: { content: { parts: { text: string }[] }; outputDimensionality: number }[];
    };
    const asked = embeddingRequest({
      inputs: wire.requests.map(({ content }) => content.parts[0]?.text ?? ''),
      dimensions: wire.requests[0]?.outputDimensionality ?? null,
    });
    const body = geminiEmbedUpstream.render(asked, target({}, {}, { model: 'gemini-embedding-001' })).body(0, '');
    expect(JSON.parse(body.toString())).toEqual(wire);
    const read = geminiEmbedUpstream.read(JSON.parse(transcriptBytes(file).toString()), asked);
    expect(read.isAnswer).toBe(true);
    expect(read.answer().embeddings?.map(({ length }) => length)).toEqual([768]);
  });
});
