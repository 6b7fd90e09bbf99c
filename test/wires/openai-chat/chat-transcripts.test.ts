import { describe, expect, it } from '@jest/globals';
import type { Completion, StreamPart } from '../../../src/wires/answer.ts';
import type { Part } from '../../../src/wires/generation.ts';
import { chatAnswer } from '../../../src/wires/openai-chat/chat-answer.ts';
import { chatBody } from '../../../src/wires/openai-chat/chat-body.ts';
import { ChatParts } from '../../../src/wires/openai-chat/chat-parts.ts';
import { ChatWriter } from '../../../src/wires/openai-chat/chat-writer.ts';
import type { ReportedUsage } from '../../../src/wires/usage.ts';
import { collectParts } from '../../support/collect-parts.ts';
import { randomFrom } from '../../support/random.ts';
import { decodeStrictly } from '../../support/strict-decoder.ts';
import { transcriptBytes, transcriptsOf, type Transcript } from '../../support/transcripts.ts';

const answers = ['openai-chat', 'groq', 'deepseek', 'moonshot', 'custom']
  .flatMap(transcriptsOf)
  .filter(({ path, status }) => status === 200 && !path?.includes('responses'));
const streams = answers.filter(({ file }) => file.endsWith('.sse'));
const bodies = answers.filter(({ file }) => file.endsWith('.json'));
const CONTEXT = { requestId: 'r1', model: 'm', created: 1, promptTokens: 9 };

interface RawMessage {
  content?: string | null;
  reasoning_content?: string | null;
  reasoning?: string | null;
  refusal?: string | null;
  tool_calls?: { index?: number; function: { name?: string; arguments?: string } }[];
}

interface RawChoice {
  message?: RawMessage;
  delta?: RawMessage;
  finish_reason?: string | null;
}

interface RawBody {
  choices?: RawChoice[];
}

/** What a choice says, gathered in the plainest way from its message, or from all its deltas. */
interface Said {
  text: string;
  thoughts: string;
  refusal: string;
  calls: [name: string, input: string][];
  ends: string[];
}

function saidIn(choices: RawChoice[]): Said {
  const said: Said = { text: '', thoughts: '', refusal: '', calls: [], ends: [] };
  const calls = new Map<number, [string, string]>();
  for (const { message, delta, finish_reason: end } of choices) {
    const words = message ?? delta ?? {};
    said.text += words.content ?? '';
    said.thoughts += words.reasoning_content ?? words.reasoning ?? '';
    said.refusal += words.refusal ?? '';
    for (const [at, call] of (words.tool_calls ?? []).entries()) {
      const [name, input] = calls.get(call.index ?? at) ?? ['', ''];
      calls.set(call.index ?? at, [name + (call.function.name ?? ''), input + (call.function.arguments ?? '')]);
    }
    if (end) said.ends.push(end);
  }
  return { ...said, calls: [...calls.values()] };
}

function saidBy({ parts }: Completion): Omit<Said, 'ends'> {
  return {
    text: textsOf(parts, 'text'),
    thoughts: textsOf(parts, 'reasoning'),
    refusal: textsOf(parts, 'refusal'),
    calls: parts.flatMap((part) => (part.type === 'tool_call' ? [[part.name, part.input] as [string, string]] : [])),
  };
}

function textsOf(parts: readonly Part[], type: 'text' | 'reasoning' | 'refusal'): string {
  return parts.map((part) => (part.type === type ? (part as { text: string }).text : '')).join('');
}

function partsOf(reader: ChatParts, chunks: readonly Buffer[]): StreamPart[] {
  return [...chunks.flatMap((chunk) => reader.push(chunk)), ...reader.finish()];
}

function checkUsage(usage: ReportedUsage | null, wanted: Transcript['usage']): void {
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

function chunksOf(bytes: Buffer): RawBody[] {
  const data = bytes.toString().match(/^data: ?\{.*$/gm) ?? [];
  return data.map((line) => JSON.parse(line.slice(5)) as RawBody);
}

function splits(bytes: Buffer): Buffer[][] {
  const seed = Math.floor(Math.random() * 1e9);
  console.info(`seed of the splits: ${seed}`);
  const random = randomFrom(seed);
  const cut = (most: number): Buffer[] => {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = 1 + Math.floor(random() * most);
      pieces.push(bytes.subarray(at, at + length));
      at += length;
    }
    return pieces;
  };
  return [cut(1), cut(40), cut(2_000)];
}

(answers.length > 0 ? describe : describe.skip)('recorded answers of the chat wire', () => {
  it.each(streams)('$file is taken apart', ({ file, usage }) => {
    const bytes = transcriptBytes(file);
    const whole = collectParts(partsOf(new ChatParts(), [bytes]));
    checkUsage(whole.usage, usage);
    const isFailed = file.includes('error-in-stream');
    expect(whole.failure !== undefined).toBe(isFailed);
    expect(whole.done).toBe(!isFailed);
    const said = chunksOf(bytes).flatMap(({ choices = [] }) => choices);
    if (isFailed) return;
    expect(whole.completions).toHaveLength(1);
    const { ends, ...words } = saidIn(said);
    expect(saidBy(whole.completions[0] as Completion)).toEqual(words);
    expect(whole.completions[0]?.finish).toMatchObject({ reason: ends.at(-1), native: ends.at(-1) });
    for (const split of splits(bytes)) expect(collectParts(partsOf(new ChatParts(), split))).toEqual(whole);
  });

  it.each(streams)('$file is the same when it is written and read again', ({ file }) => {
    const parts = partsOf(new ChatParts(), [transcriptBytes(file)]);
    const writer = new ChatWriter({ includeUsage: true }, CONTEXT);
    const before = collectParts(parts);
    const written = parts.map((part) => writer.write(part)).join('') + writer.ending(null).last.toString();
    decodeStrictly(written);
    if (before.failure !== undefined) return;
    const after = collectParts(partsOf(new ChatParts(), [Buffer.from(written)]));
    expect(after.completions.map(withoutNative)).toEqual(before.completions.map(withoutNative));
  });

  it.each(bodies)('$file is read, written and read again', ({ file, usage }) => {
    const body = JSON.parse(transcriptBytes(file).toString()) as RawBody;
    const answer = chatAnswer(body);
    checkUsage(answer.usage, usage);
    for (const [at, completion] of answer.completions.entries()) {
      const { ends, ...words } = saidIn(body.choices?.slice(at, at + 1) ?? []);
      expect(saidBy(completion)).toEqual(words);
      expect(completion.finish.native).toBe(ends[0]);
      expect(completion.finish.reason).toBe(file.includes('refusal') ? 'refusal' : ends[0]);
    }
    const again = chatAnswer(chatBody(answer, CONTEXT));
    expect(again.completions.map(withoutNative)).toEqual(answer.completions.map(withoutNative));
    expect(again.usage).toEqual(answer.usage);
  });
});

/** What a round trip keeps: the finish reason's meaning, every part; a call without arguments gets those of an empty object. */
function withoutNative({ finish: { native: _native, ...finish }, parts, ...completion }: Completion): unknown {
  return { ...completion, finish, parts: parts.map((part) => (part.type === 'tool_call' ? { ...part, input: part.input || '{}' } : part)) };
}
