import { describe, expect, it } from '@jest/globals';
import type { Completion, StreamPart } from '../../../src/wires/answer.ts';
import type { Part } from '../../../src/wires/generation.ts';
import { readAnswer } from '../../../src/wires/gemini-generate/answer.ts';
import { GeminiParts } from '../../../src/wires/gemini-generate/parts.ts';
import type { ReportedUsage } from '../../../src/wires/usage.ts';
import { collectParts } from '../../support/collect-parts.ts';
import { randomFrom } from '../../support/random.ts';
import { transcriptBytes, transcriptsOf, type Transcript, type TranscriptUsage } from '../../support/transcripts.ts';

const answers = transcriptsOf('gemini').filter(({ file }) => !/count-tokens|embeddings/.test(file));
const good = answers.filter(({ status }) => status === 200);
const bodies = good.filter(({ file }) => file.endsWith('.json'));
const streams = good.filter(({ file }) => file.endsWith('.sse'));
const errors = answers.filter(({ status }) => status !== 200);
const seed = Date.now();

/** The answer as the recording says it, read in the plainest way: what the wire's reader has to come to. */
interface Told {
  text: string;
  thoughts: string;
  calls: { name: string; args: unknown }[];
  ids: string[];
  signatures: string[];
  reason: string | undefined;
}

interface WirePart {
  text?: string;
  thought?: boolean;
  thoughtSignature?: string;
  functionCall?: { name?: string; args?: object; id?: string; partialArgs?: { jsonPath: string; stringValue: string }[] };
}

function told(file: string): Told {
  const text = transcriptBytes(file).toString();
  const responses = (
    file.endsWith('.json')
      ? [JSON.parse(text)]
      : text
          .split(/\r?\n/)
          .filter((line) => line.startsWith('data:'))
          .map((line) => JSON.parse(line.slice(5)) as unknown)
  ) as {
    candidates?: { content?: { parts?: WirePart[] }; finishReason?: string }[];
    promptFeedback?: { blockReason: string };
  }[];
  const parts = responses.flatMap(({ candidates }) => candidates?.[0]?.content?.parts ?? []);
  const texts = (thought: boolean) => parts.filter((part) => (part.thought === true) === thought).map((part) => part.text ?? '');
  const calls: { name: string; args: Record<string, unknown>; id?: string | undefined }[] = [];
  for (const { functionCall: call } of parts) {
    if (call?.name !== undefined) calls.push({ name: call.name, args: { ...call.args }, id: call.id });
    // Arguments in pieces: all of those recorded are texts at the top.
    for (const { jsonPath, stringValue } of call?.partialArgs ?? []) {
      const args = calls.at(-1)?.args ?? {};
      args[jsonPath.slice(2)] = `${(args[jsonPath.slice(2)] as string | undefined) ?? ''}${stringValue}`;
    }
  }
  return {
    text: texts(false).join(''),
    thoughts: texts(true).join(''),
    calls: calls.map(({ name, args }) => ({ name, args })),
    ids: calls.flatMap(({ id }) => (id === undefined ? [] : [id])),
    signatures: parts.flatMap((part) => part.thoughtSignature ?? []),
    reason: responses
      .map(({ candidates, promptFeedback }) => candidates?.[0]?.finishReason ?? promptFeedback?.blockReason)
      .findLast(Boolean),
  };
}

const joined = (parts: readonly Part[], type: 'text' | 'reasoning') => parts.map((part) => (part.type === type ? part.text : '')).join('');

function checkCompletion(file: string, { parts, finish }: Completion): void {
  const wanted = told(file);
  const calls = parts.filter((part) => part.type === 'tool_call');
  expect(joined(parts, 'text')).toBe(wanted.text);
  expect(joined(parts, 'reasoning')).toBe(wanted.thoughts);
  expect(calls.map(({ name, input }) => ({ name, args: JSON.parse(input || '{}') as unknown }))).toEqual(wanted.calls);
  const ids = calls.map(({ id }) => id);
  expect(ids).toEqual(wanted.ids.length > 0 ? wanted.ids : ids);
  expect(ids.filter((id) => !/^[\w-]{1,40}$/.test(id))).toEqual([]);
  expect(new Set(ids).size).toBe(calls.length);
  const signatures = parts.flatMap((part) => ('signature' in part && part.signature ? [part.signature] : []));
  expect(signatures).toEqual(wanted.signatures.map((value) => ({ wire: 'gemini-generate', value })));
  expect(finish.native).toBe(wanted.reason);
  expect(finish.reason).toBe(reasonOf(wanted));
}

function reasonOf({ reason, calls }: Told): string {
  if (reason === 'STOP') return calls.length > 0 ? 'tool_calls' : 'stop';
  return reason === 'MAX_TOKENS' ? 'length' : 'content_filter';
}

function checkUsage(usage: ReportedUsage | null, wanted: TranscriptUsage | null): void {
  expect(usage).toEqual(
    wanted && {
      input: wanted.uncachedInput,
      cacheRead: wanted.cachedRead,
      cacheWrite: wanted.cacheWrite,
      cacheWriteLong: 0,
      output: wanted.output,
      reasoning: wanted.reasoning ?? 0,
    },
  );
}

function stream(packets: readonly Buffer[]): StreamPart[] {
  const reader = new GeminiParts();
  return [...packets.flatMap((packet) => reader.push(packet)), ...reader.finish()];
}

(answers.length > 0 ? describe : describe.skip)('recorded answers of Gemini (../shared/transcripts)', () => {
  it.each(bodies)('$file: everything in it', ({ file, usage }: Transcript) => {
    const read = readAnswer(JSON.parse(transcriptBytes(file).toString()));
    expect(read.failure).toBeUndefined();
    expect(read.isAnswer).toBe(true);
    checkUsage(read.usage, usage);
    const { completions } = read.answer();
    expect(completions).toHaveLength(1);
    checkCompletion(file, completions[0] as Completion);
    const { text, thoughts } = told(file);
    for (const part of [text, thoughts]) expect(part === '' || read.written().texts.join('').includes(part)).toBe(true);
  });

  it.each(errors)('$file: a failure, and no answer', ({ file, status }) => {
    const read = readAnswer(JSON.parse(transcriptBytes(file).toString()));
    expect(read.failure).toMatchObject({ code: status, message: expect.any(String), status: expect.any(String) });
    expect(read.isAnswer).toBe(false);
    expect(read.answer().completions).toEqual([]);
  });

  it.each(streams)(`$file: everything in it, however it is cut (seed ${seed})`, ({ file, usage }) => {
    const bytes = transcriptBytes(file);
    const whole = stream([bytes]);
    const { completions, failure, done, usage: figures, model } = collectParts(whole);
    expect([failure, done, completions.length]).toEqual([undefined, true, 1]);
    expect(model).toMatch(/^gemini-/);
    checkUsage(figures, usage);
    checkCompletion(file, completions[0] as Completion);

    expect(stream(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(whole);
    const random = randomFrom(seed);
    for (let round = 0; round < 20; round++) {
      const packets: Buffer[] = [];
      for (let at = 0; at < bytes.length;) {
        const length = 1 + Math.floor(random() * 400);
        packets.push(bytes.subarray(at, at + length));
        at += length;
      }
      expect(stream(packets)).toEqual(whole);
    }
  });

  it.each(streams)('$file: broken off anywhere before its end, it is not done', ({ file }) => {
    const bytes = transcriptBytes(file);
    const lastEvent = bytes.lastIndexOf('data:');
    for (const length of [0, 5, Math.floor(lastEvent / 2), lastEvent, lastEvent + 40]) {
      expect(stream([bytes.subarray(0, length)]).some(({ type }) => type === 'done' || type === 'finish')).toBe(false);
    }
  });

  it('puts arguments together that come in pieces', () => {
    const bytes = transcriptBytes('gemini/tool-no-args-missing-stream.sse');
    const parts = collectParts(stream([bytes])).completions[0]?.parts ?? [];
    const calls = parts.flatMap((part) => (part.type === 'tool_call' ? [{ name: part.name, input: part.input }] : []));
    expect(calls).toEqual([
      { name: 'read_theme', input: '' },
      ...['A', 'B', 'C'].map((id) => ({ name: 'read_screen', input: `{"id":"${id}"}` })),
    ]);
  });
});

it('says so where there are none', () => {
  expect(answers.length === 0 || (bodies.length > 10 && streams.length > 10)).toBe(true);
});
