import { describe, expect, it } from '@jest/globals';
import type { Generation, Part } from '../../../src/wires/generation.ts';
import { geminiGenerateUpstream } from '../../../src/wires/gemini-generate/upstream.ts';
import { NO_MEDIA, type InferenceRequest } from '../../../src/wires/request.ts';
import type { Dialect, ModelTraits, Target } from '../../../src/wires/target.ts';
import { inferenceRequest, target } from '../../support/generation.ts';

interface Case {
  says: string;
  of?: Partial<Generation>;
  request?: Partial<InferenceRequest>;
  traits?: Partial<ModelTraits>;
  dialect?: Partial<Dialect>;
  to?: Partial<Target>;
  param: string | undefined;
}

const part = (type: 'image' | 'document', mediaType: string): Part => ({
  ...{ type, param: 'messages.0.content.1.image_url.url' },
  source: { kind: 'data', mediaType, base64: 'AA==' },
});
const showing = (one: Part): Pick<Case, 'of' | 'request'> => ({
  of: { messages: [{ role: 'user', parts: [one] }] },
  request: { media: { ...NO_MEDIA, images: 1 } },
});
const tool = (name: string, kind: 'function' | 'custom' = 'function') => ({ kind, name });
const asked: Part = { type: 'text', text: 'q' };
const called = (id: string): Part => ({ type: 'tool_call', id, name: 'add', input: '', kind: 'function' });
const answered = (callId: string): Part => ({ type: 'tool_result', callId, parts: [], isError: false });
const talk = (...turns: Part[][]): Pick<Case, 'of'> => ({
  of: { messages: turns.map((parts, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', parts })) },
});

const SIX = ['a', 'b', 'c', 'd', 'e', 'f'];

const cases: Case[] = [
  { says: 'a plain request', param: undefined },
  { says: 'several completions', request: { completions: 2 }, param: undefined },
  { says: 'several completions, of a model that gives one', request: { completions: 2 }, dialect: { manyCompletions: false }, param: 'n' },
  { says: 'logit_bias', of: { logitBias: { 50: 1 } }, param: 'logit_bias' },
  { says: 'an empty logit_bias', of: { logitBias: {} }, param: undefined },
  { says: 'probabilities', of: { logprobs: 2 }, param: 'logprobs' },
  { says: 'probabilities, of a model that tells them', of: { logprobs: 2 }, dialect: { takes: ['logprobs'] }, param: undefined },
  { says: 'six stop sequences', of: { stop: SIX }, param: 'stop' },
  { says: 'six, by Anthropic’s client', of: { stop: SIX }, request: { wire: 'anthropic-messages' }, param: 'stop_sequences' },
  { says: 'a schema', of: { format: { type: 'schema', name: 'x', schema: {} } }, traits: { takesSchema: false }, param: 'response_format' },
  { says: 'a field without a rule', request: { unruled: ['mystery'] }, param: 'mystery' },
  { says: 'a custom tool', of: { tools: [tool('a'), tool('b', 'custom')] }, param: undefined },
  { says: 'a name that begins with a digit', of: { tools: [tool('1st')] }, param: 'tools.0' },
  { says: 'a name with a dot', of: { tools: [tool('files.read')] }, param: undefined },
  { says: 'a forced tool', of: { tools: [tool('a')], toolChoice: { mode: 'required' } }, param: undefined },
  {
    ...{ says: 'a forced tool, of a model that cannot be forced', of: { tools: [tool('a')], toolChoice: { mode: 'required' } } },
    ...{ traits: { forcesTools: false }, param: 'tool_choice' },
  },
  { says: 'a forced tool that is not there', of: { tools: [tool('a')], toolChoice: { mode: 'named', name: 'b' } }, param: 'tool_choice' },
  { says: 'a forced tool where there is none', of: { toolChoice: { mode: 'required' } }, param: 'tool_choice' },
  { says: 'a JPEG', ...showing(part('image', 'image/jpeg')), param: undefined },
  { says: 'a GIF', ...showing(part('image', 'image/gif')), param: 'messages.0.content.1.image_url.url' },
  { says: 'a PDF', ...showing(part('document', 'application/pdf')), param: undefined },
  { says: 'a spreadsheet', ...showing(part('document', 'application/vnd.ms-excel')), param: 'messages.0.content.1.image_url.url' },
  {
    ...{ says: 'an image for a model without eyes', request: { media: { ...NO_MEDIA, images: 1, firstImageParam: 'messages.0' } } },
    ...{ to: { takesImages: false }, param: 'messages.0' },
  },
  {
    ...{ says: 'a URL for a model that fetches none', request: { media: { ...NO_MEDIA, images: 1, firstRemoteParam: 'messages.1' } } },
    ...{ to: { takesRemoteMedia: false }, param: 'messages.1' },
  },
  { says: 'nothing at all', of: { messages: [{ role: 'user', parts: [{ type: 'text', text: '' }] }] }, param: 'messages' },
  { says: 'calls and results in pairs', ...talk([asked], [called('x'), called('y')], [answered('y'), answered('x')]), param: undefined },
  { says: 'calls without ids in pairs', ...talk([asked], [called(''), called('')], [answered(''), answered('')]), param: undefined },
  { says: 'a call without a result', ...talk([asked], [called('x'), called('y')], [answered('y'), asked]), param: 'messages' },
  { says: 'a call at the end', ...talk([asked], [called('x')]), param: 'messages' },
  { says: 'a result without a call', ...talk([answered('x')]), param: 'messages' },
  { says: 'a result of a call long ago', ...talk([asked], [called('x')], [answered('x')], [asked], [answered('x')]), param: 'messages' },
  { says: 'two results of one call', ...talk([asked], [called('x')], [answered('x'), answered('x')]), param: 'messages' },
  { says: 'the beginning of an answer', ...talk([asked], [asked]), param: undefined },
  { says: 'the beginning of an answer, refused', ...talk([asked], [asked]), traits: { takesPrefill: false }, param: 'messages' },
];

describe('what a model behind generateContent cannot take', () => {
  it.each(cases)('$says: $param', ({ of = {}, request = {}, traits = {}, dialect = {}, to = {}, param }) => {
    const obstacle = geminiGenerateUpstream.obstacle(inferenceRequest(of, request), target(traits, dialect, to));
    expect(obstacle?.detail.param).toBe(param);
    expect(obstacle?.code).toBe(param === undefined ? undefined : 'invalid_request');
  });
});
