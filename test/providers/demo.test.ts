import { describe, expect, it } from '@jest/globals';
import { Abort } from '../../src/providers/abort.ts';
import { createDemo } from '../../src/providers/demo.ts';
import type { UpstreamAnswer } from '../../src/providers/provider.ts';

const NEVER = new Abort();
const hello = { model: 'demo-premium', messages: [{ role: 'user', content: 'Hello there' }] };
const weatherTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' }, unit: { enum: ['celsius'] }, note: { type: 'string' } },
      required: ['city', 'days', 'unit'],
    },
  },
};

interface Choice {
  message: { content: string | null; tool_calls?: { id: string; function: { name: string; arguments: string } }[] };
  finish_reason: string;
}

interface Body {
  choices: Choice[];
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
}

interface Delta {
  content?: string | null;
  tool_calls?: { function: { name?: string; arguments: string } }[];
}

async function ask(request: object, stream = false): Promise<string> {
  const body = Buffer.from(JSON.stringify({ ...request, ...(stream && { stream }) }));
  const answer = await createDemo().send({ wire: 'openai-chat' as const, headers: [], path: '/chat/completions', body, stream }, NEVER);
  expect(answer.status).toBe(200);
  return readText(answer);
}

function readText(answer: UpstreamAnswer): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    answer.read({ data: (chunk) => ((text += chunk.toString()), true), end: () => resolve(text), error: reject });
  });
}

async function askJson(request: object): Promise<Body> {
  return JSON.parse(await ask(request)) as Body;
}

async function askStream(request: object) {
  const events = (await ask(request, true)).split('\n\n').filter(Boolean);
  expect(events.pop()).toBe('data: [DONE]');
  return events.map(
    (line) =>
      JSON.parse(line.slice('data: '.length)) as {
        choices: { index: number; delta: Delta; finish_reason: string | null }[];
        usage?: Body['usage'] | null;
      },
  );
}

describe('the demo provider', () => {
  it('says that it is one, and answers the same to the same', async () => {
    const [first, second] = [await askJson(hello), await askJson(hello)];
    expect(first.choices[0]?.message.content).toContain('demo model demo-premium');
    expect(first.choices[0]?.message.content).toContain('Hello there');
    expect(second.choices).toEqual(first.choices);
    expect(first.choices[0]?.finish_reason).toBe('stop');
  });

  it('counts what it says', async () => {
    const { usage } = await askJson(hello);
    expect(usage.prompt_tokens).toBeGreaterThan(0);
    expect(usage.completion_tokens).toBeGreaterThan(0);
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
  });

  it.each(['max_tokens', 'max_completion_tokens'])('keeps to %s', async (field) => {
    const { choices, usage } = await askJson({ ...hello, [field]: 7 });
    expect(usage.completion_tokens).toBe(7);
    expect(choices[0]?.finish_reason).toBe('length');
  });

  it('gives n choices and counts them all', async () => {
    const one = await askJson(hello);
    const three = await askJson({ ...hello, n: 3 });
    expect(three.choices).toHaveLength(3);
    expect(three.usage.completion_tokens).toBe(3 * one.usage.completion_tokens);
    expect(three.usage.prompt_tokens).toBe(one.usage.prompt_tokens);
  });

  it('streams the same text in several chunks', async () => {
    const whole = await askJson(hello);
    const events = await askStream(hello);
    expect(events.length).toBeGreaterThan(5);
    expect(events.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(whole.choices[0]?.message.content);
    expect(events.at(-1)?.choices[0]?.finish_reason).toBe('stop');
    expect(events.some(({ usage }) => usage)).toBe(false);
  });

  it('ends a stream with the usage where asked', async () => {
    const whole = await askJson(hello);
    const events = await askStream({ ...hello, stream_options: { include_usage: true } });
    expect(events.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
    expect(events.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  });

  it.each([['required'], [{ type: 'function', function: { name: 'get_weather' } }]])(
    'calls a tool when told to: %j',
    async (tool_choice) => {
      const { choices } = await askJson({ ...hello, tools: [weatherTool], tool_choice });
      const call = choices[0]?.message.tool_calls?.[0];
      expect(call?.function.name).toBe('get_weather');
      expect(JSON.parse(call?.function.arguments ?? '')).toEqual({ city: 'demo', days: 1, unit: 'celsius' });
      expect(choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
    },
  );

  it('streams a tool call', async () => {
    const events = await askStream({ ...hello, tools: [weatherTool], tool_choice: 'required' });
    const calls = events.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
    expect(calls[0]?.function.name).toBe('get_weather');
    expect(JSON.parse(calls.map((call) => call.function.arguments).join(''))).toEqual({
      city: 'demo',
      days: 1,
      unit: 'celsius',
    });
  });

  it('answers in words where a tool is only offered', async () => {
    const { choices } = await askJson({ ...hello, tools: [weatherTool] });
    expect(choices[0]?.message.tool_calls).toBeUndefined();
  });

  it('keeps to a JSON schema', async () => {
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
    const { choices } = await askJson({ ...hello, response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } });
    expect(JSON.parse(choices[0]?.message.content ?? '')).toEqual({ ok: true });
  });

  it('stops at a stop sequence', async () => {
    const { choices } = await askJson({ ...hello, stop: ['Pura'] });
    expect(choices[0]?.message.content).toMatch(/of $/);
  });

  it('waits for a slow reader', async () => {
    const body = Buffer.from(JSON.stringify(hello));
    const answer = await createDemo().send(
      { wire: 'openai-chat' as const, headers: [], path: '/chat/completions', body, stream: true },
      NEVER,
    );
    let chunks = 0;
    let reading = false;
    const ended = new Promise<void>((resolve, reject) => {
      answer.read({
        data: () => {
          chunks += 1;
          if (reading) setImmediate(() => answer.resume());
          return false;
        },
        end: resolve,
        error: reject,
      });
    });
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    expect(chunks).toBe(1);
    reading = true;
    answer.resume();
    await ended;
    expect(chunks).toBeGreaterThan(5);
  });

  it('stops at an abort, also while its reader is slow', async () => {
    const abort = new Abort();
    const answer = await createDemo().send(
      { wire: 'openai-chat' as const, headers: [], path: '/chat/completions', body: Buffer.from(JSON.stringify(hello)), stream: true },
      abort,
    );
    const failed = new Promise((_resolve, reject) => answer.read({ data: () => (abort.abort(), false), end: () => {}, error: reject }));
    await expect(failed).rejects.toMatchObject({ kind: 'aborted' });
  });
});
