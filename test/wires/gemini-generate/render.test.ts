import { describe, expect, it } from '@jest/globals';
import type { Content, GenerationConfig, SafetySetting, Tool, ToolConfig } from '@google/genai';
import type { Generation, Message, Part, ToolCallPart } from '../../../src/wires/generation.ts';
import { CallIds } from '../../../src/wires/gemini-generate/call-ids.ts';
import { geminiGenerateUpstream } from '../../../src/wires/gemini-generate/upstream.ts';
import { inferenceRequest, target } from '../../support/generation.ts';
import { transcriptBytes, transcriptsOf } from '../../support/transcripts.ts';

/** A body of generateContent, in the words of Google's own client. */
interface Body {
  contents: Content[];
  systemInstruction?: Content;
  tools?: Tool[];
  toolConfig?: ToolConfig;
  safetySettings?: SafetySetting[];
  generationConfig: GenerationConfig;
}

const GEMINI_3 = target({ reasoning: 'effort', efforts: ['low', 'medium', 'high'] });
const text = (value: string): Part => ({ type: 'text', text: value });
const user = (...parts: Part[]): Message => ({ role: 'user', parts });
const model = (...parts: Part[]): Message => ({ role: 'assistant', parts });
const call = (id: string, more: Partial<ToolCallPart> = {}): Part => ({
  ...{ type: 'tool_call', id, name: 'add', input: '{"a":2}', kind: 'function' },
  ...more,
});
const result = (callId: string, value = 'five', isError = false): Part => ({
  ...{ type: 'tool_result', callId, isError },
  parts: [{ type: 'text', text: value }],
});
const signed = (value: string, wire: 'gemini-generate' | 'anthropic-messages' = 'gemini-generate') => ({ signature: { wire, value } });

function render(of: Partial<Generation>, to = GEMINI_3): Body {
  const request = inferenceRequest(of);
  expect(geminiGenerateUpstream.obstacle(request, to)).toBeNull();
  return JSON.parse(geminiGenerateUpstream.render(request, to).body(100, 'hash').toString()) as Body;
}

const contents = (...messages: Message[]): Content[] => render({ messages }).contents;
const STAND_IN = 'skip_thought_signature_validator';

describe('turns', () => {
  it('merges messages of one role, keeps instructions in their place as marked text, and begins with the user', () => {
    const messages: Message[] = [model(text('Hello')), user(text('a')), { role: 'system', parts: [text('Be brief.')] }, user(text('b'))];
    expect(contents(...messages)).toEqual([
      { role: 'user', parts: [{ text: ' ' }] },
      { role: 'model', parts: [{ text: 'Hello' }] },
      { role: 'user', parts: [{ text: 'a' }, { text: '<system>\nBe brief.\n</system>' }, { text: 'b' }] },
    ]);
  });

  it('says instructions apart, and as the user where nothing else is said', () => {
    const system = [{ type: 'text' as const, text: 'Be brief.' }];
    expect(render({ system })).toMatchObject({ systemInstruction: { parts: [{ text: 'Be brief.' }] } });
    const alone = render({ system, messages: [] });
    expect(alone.contents).toEqual([{ role: 'user', parts: [{ text: 'Be brief.' }] }]);
    expect(alone.systemInstruction).toBeUndefined();
  });

  it('leaves no turn without parts and no text empty', () => {
    expect(contents(user(text('a')), model(text('')), user(text(''), text('b')))).toEqual([
      { role: 'user', parts: [{ text: 'a' }] },
      { role: 'model', parts: [{ text: ' ' }] },
      { role: 'user', parts: [{ text: 'b' }] },
    ]);
  });
});

describe('calls and results', () => {
  it('answers every call once, in their order, before anything else of the turn, by name and by the ids of the model', () => {
    const turns = contents(user(text('q')), model(call('x'), call('y', { name: 'mul' })), user(text('so?'), result('y'), result('x')));
    expect(turns.slice(1)).toEqual([
      {
        role: 'model',
        parts: [
          { functionCall: { id: 'x', name: 'add', args: { a: 2 } }, thoughtSignature: STAND_IN },
          { functionCall: { id: 'y', name: 'mul', args: { a: 2 } } },
        ],
      },
      {
        role: 'user',
        parts: [
          { functionResponse: { id: 'x', name: 'add', response: { output: 'five' } } },
          { functionResponse: { id: 'y', name: 'mul', response: { output: 'five' } } },
          { text: 'so?' },
        ],
      },
    ]);
  });

  it('does not tell the model of ids that were made here', () => {
    const id = new CallIds('response').next(0, undefined);
    const [, calls, results] = contents(user(text('q')), model(call(id)), user(result(id)));
    expect(calls?.parts?.[0]?.functionCall).toEqual({ name: 'add', args: { a: 2 } });
    expect(results?.parts?.[0]?.functionResponse).toEqual({ name: 'add', response: { output: 'five' } });
  });

  it.each([
    ['an object, as it is', '{"sum":5,"of":[2,3]}', { sum: 5, of: [2, 3] }],
    ['a list, as output', '[1,2]', { output: '[1,2]' }],
    ['nothing, as output', '', { output: '' }],
    ['an object with a name that means something, as output', '{"error":0,"rows":[]}', { output: { error: 0, rows: [] } }],
    ['a number that a double would change, as text', '{"id":12345678901234567890}', { output: '{"id":12345678901234567890}' }],
    ['what is no JSON, as text', '{"a":', { output: '{"a":' }],
    [
      'what is nested without end, as text',
      '{"a":'.repeat(70) + '1' + '}'.repeat(70),
      { output: '{"a":'.repeat(70) + '1' + '}'.repeat(70) },
    ],
  ])('gives a result that is %s', (_, value, response) => {
    const turns = contents(user(text('q')), model(call('x')), user(result('x', value)));
    expect(turns[2]?.parts?.[0]?.functionResponse?.response).toEqual(response);
  });

  it('tells an error as one, and shows the pictures of a result after the results', () => {
    const picture: Part = {
      ...{ type: 'tool_result', callId: 'y', isError: false },
      parts: [{ type: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AA==' } }],
    };
    const turns = contents(user(text('q')), model(call('x'), call('y')), user(picture, result('x', 'no such file', true)));
    expect(turns[2]?.parts).toEqual([
      { functionResponse: { id: 'x', name: 'add', response: { error: 'no such file' } } },
      { functionResponse: { id: 'y', name: 'add', response: { output: '' } } },
      { text: 'From the result of add:' },
      { inlineData: { mimeType: 'image/png', data: 'AA==' } },
    ]);
  });

  it.each([
    ['', {}],
    ['{"a":{"b":[1,"x"]}}', { a: { b: [1, 'x'] } }],
    ['{"path":"/tm', { input: '{"path":"/tm' }],
    ['free text', { input: 'free text' }],
  ])('takes arguments as an object: %s', (input, args) => {
    const turns = contents(user(text('q')), model(call('x', { input })), user(result('x')));
    expect(turns[1]?.parts?.[0]?.functionCall?.args).toEqual(args);
  });
});

describe('signatures', () => {
  const parts = (...said: Part[]) => contents(user(text('q')), model(...said), user(result('x')))[1]?.parts;

  it('gives a call its own back, byte for byte, and none to the calls after it', () => {
    expect(parts(call('x', signed('A+/=')))).toEqual([
      { functionCall: { id: 'x', name: 'add', args: { a: 2 } }, thoughtSignature: 'A+/=' },
    ]);
  });

  it('lets a stand-in sign the first call of a step that another model made', () => {
    expect(parts(call('x', signed('Z', 'anthropic-messages')))?.[0]?.thoughtSignature).toBe(STAND_IN);
  });

  it('gives a call the signature that the thoughts before it keep', () => {
    expect(parts({ type: 'reasoning', text: 'I add.', ...signed('S') }, call('x'))).toEqual([
      { functionCall: { id: 'x', name: 'add', args: { a: 2 } }, thoughtSignature: 'S' },
    ]);
  });

  it('sends signed texts and thoughts back, and no thoughts of others', () => {
    const said: Part[] = [
      { type: 'reasoning', text: 'unsigned' },
      { type: 'reasoning', text: 'foreign', ...signed('Z', 'anthropic-messages') },
      { type: 'reasoning', text: 'own', ...signed('T') },
      { type: 'text', text: 'said', ...signed('U') },
      { type: 'reasoning', text: '', ...signed('V') },
    ];
    expect(contents(user(text('q')), model(...said), user(text('r')))[1]?.parts).toEqual([
      { text: 'own', thought: true, thoughtSignature: 'T' },
      { text: 'said', thoughtSignature: 'U' },
      { text: '', thoughtSignature: 'V' },
    ]);
  });
});

describe('settings', () => {
  const config = (of: Partial<Generation>, to = GEMINI_3) => render(of, to).generationConfig;
  const wish = { effort: null, budgetTokens: null, show: null, sealed: false };

  it('says sampling, stop sequences and the cap, which the model lowers', () => {
    const sampling = { temperature: 0.5, topP: 0.9, topK: 40, seed: 7, presencePenalty: 0.1, frequencyPenalty: 0.2 };
    expect(config({ sampling, stop: ['END', ''] })).toEqual({ ...sampling, stopSequences: ['END'], maxOutputTokens: 100 });
    const rendering = geminiGenerateUpstream.render(inferenceRequest({}), GEMINI_3);
    expect(JSON.parse(rendering.body(100_000, '').toString())).toMatchObject({ generationConfig: { maxOutputTokens: 8192 } });
  });

  it.each([
    ['effort', { effort: 'high' }, { thinkingLevel: 'HIGH' }],
    ['effort', { effort: 'minimal' }, { thinkingLevel: 'LOW' }],
    ['effort', { effort: 'max', show: true }, { thinkingLevel: 'HIGH', includeThoughts: true }],
    ['effort', { budgetTokens: 9000 }, { thinkingLevel: 'HIGH' }],
    ['budget', { effort: 'low' }, { thinkingBudget: 1024 }],
    ['budget', { effort: 'none', show: true }, { thinkingBudget: 0 }],
    ['budget', { budgetTokens: 3000, show: false }, { thinkingBudget: 3000, includeThoughts: false }],
    ['budget', { budgetTokens: 100_000 }, { thinkingBudget: 24_576 }],
    ['budget', { show: true }, { includeThoughts: true }],
    ['none', { effort: 'high', show: true }, undefined],
  ] as const)('asks a model with %s for thought: %p', (reasoning, of, thinkingConfig) => {
    const to = target({ reasoning, efforts: reasoning === 'effort' ? ['low', 'medium', 'high'] : [] });
    expect(config({ reasoning: { ...wish, ...of } }, to).thinkingConfig).toEqual(thinkingConfig);
  });

  it('says formats, tools and their choice', () => {
    const schema = { type: 'object', properties: { a: { const: 1 } }, $schema: 'https://json-schema.org/draft/2020-12/schema' };
    expect(config({ format: { type: 'json' } })).toMatchObject({ responseMimeType: 'application/json' });
    expect(config({ format: { type: 'schema', name: 'x', schema } })).toMatchObject({
      responseMimeType: 'application/json',
      responseJsonSchema: { type: 'object', properties: { a: { enum: [1] } } },
    });
    const tools = ['add', 'mul'].map((name) => ({ kind: 'function' as const, name, description: 'Sums.', parameters: schema }));
    const choices = [
      [null, undefined],
      [{ mode: 'auto' }, { mode: 'AUTO' }],
      [{ mode: 'none' }, { mode: 'NONE' }],
      [{ mode: 'required' }, { mode: 'ANY' }],
      [
        { mode: 'required', allowed: ['mul'] },
        { mode: 'ANY', allowedFunctionNames: ['mul'] },
      ],
      [
        { mode: 'named', name: 'add' },
        { mode: 'ANY', allowedFunctionNames: ['add'] },
      ],
    ] as const;
    for (const [toolChoice, functionCallingConfig] of choices) {
      const body = render({ tools, toolChoice });
      expect(body.toolConfig?.functionCallingConfig).toEqual(functionCallingConfig);
      expect(body.tools?.map(({ functionDeclarations }) => functionDeclarations?.length)).toEqual([2]);
    }
    const narrowed = render({ tools, toolChoice: { mode: 'auto', allowed: ['mul'] } });
    expect(narrowed.tools?.[0]?.functionDeclarations).toEqual([
      { name: 'mul', description: 'Sums.', parametersJsonSchema: { type: 'object', properties: { a: { enum: [1] } } } },
    ]);
  });

  it('takes safety settings in the words of the API, and names all others as ignored', () => {
    const good = [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'BLOCK_ONLY_HIGH' }];
    const cases: [unknown, unknown, string[]][] = [
      [good, good, []],
      [[{ ...good[0], method: 'SEVERITY' }], good, []],
      [[...good, ...good], undefined, ['safety_settings']],
      [[{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'NEVER' }], undefined, ['safety_settings']],
      ['off', undefined, ['safety_settings']],
    ];
    for (const [sent, said, ignored] of cases) {
      const request = inferenceRequest({ unsaid: ['safety_settings'] }, { extras: { safety_settings: sent } });
      const rendering = geminiGenerateUpstream.render(request, GEMINI_3);
      expect((JSON.parse(rendering.body(1, '').toString()) as Body).safetySettings).toEqual(said);
      expect(rendering.ignored).toEqual(ignored);
    }
  });

  it('names what has no place here and changes no meaning', () => {
    const of: Partial<Generation> = {
      ...{
        parallelToolCalls: false,
        verbosity: 'low',
        cacheKey: 'k',
        unsaid: ['min_p'],
        sampling: { temperature: 1, topP: 1, seed: 2 ** 40 },
      },
      reasoning: { ...wish, effort: 'none' },
      messages: [{ role: 'user', name: 'Ada', parts: [{ type: 'text', text: 'Hi', cache: '5m' }] }],
    };
    const to = target({ sampling: 'one', reasoning: 'budget', thinksAlways: true }, {});
    const { ignored } = geminiGenerateUpstream.render(inferenceRequest(of, { own: { user: 'u' } }), to);
    expect(ignored.toSorted()).toEqual(
      [
        ...['cache_control', 'min_p', 'name', 'parallel_tool_calls', 'prompt_cache_key', 'reasoning_effort', 'seed', 'top_p', 'user'],
        'verbosity',
      ].toSorted(),
    );
  });

  it('counts what is sent, without the data of pictures', () => {
    const image: Part = { type: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'QUJD'.repeat(1000) } };
    const format = { type: 'schema' as const, name: 'x', schema: { type: 'object', title: 'TheSchema' } };
    const tools = [{ kind: 'function' as const, name: 'add', parameters: { type: 'object', title: 'TheTool' } }];
    const prompt = geminiGenerateUpstream
      .render(inferenceRequest({ format, tools, messages: [user(image, text('Look'))] }), GEMINI_3)
      .promptText();
    for (const sent of ['TheSchema', 'TheTool', 'Look', 'add']) expect(prompt).toContain(sent);
    expect(prompt).not.toContain('QUJD');
  });

  it.each([
    ['gemini-3-pro', false, '/models/gemini-3-pro:generateContent'],
    ['tunedModels/my model', true, '/tunedModels/my%20model:streamGenerateContent?alt=sse'],
  ])('goes to the path of %s', (id, stream, path) => {
    expect(geminiGenerateUpstream.render(inferenceRequest({}, { stream }), { ...GEMINI_3, model: id }).path).toBe(path);
  });
});

describe('recorded requests (../shared/transcripts)', () => {
  const recorded = transcriptsOf('gemini').filter(({ request }) => request?.includes('g3-tool-parallel-followup'));

  (recorded.length > 0 ? it : it.skip)('writes the same turns as a client that was answered', () => {
    const sent = JSON.parse(transcriptBytes('gemini/g3-tool-parallel-followup.request.json').toString()) as Body;
    const [first, second] = sent.contents[1]?.parts ?? [];
    const messages = [
      user(text('Add and multiply the number 2 and 3')),
      model(
        call('wxvlv0tv', { input: '{"a":2,"b":3}', ...signed(first?.thoughtSignature ?? '') }),
        call('75p2opbh', { name: second?.functionCall?.name ?? '', input: '{"a":2,"b":3}' }),
      ),
      user(result('75p2opbh', '{"result":"6"}'), result('wxvlv0tv', '{"result":"5"}')),
    ];
    expect(contents(...messages)).toEqual(sent.contents);
  });
});
