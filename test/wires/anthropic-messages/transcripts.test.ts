import { describe, expect, it } from '@jest/globals';
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import type { Answer, StreamPart } from '../../../src/wires/answer.ts';
import type { Part } from '../../../src/wires/generation.ts';
import { anthropicMessagesUpstream as upstream } from '../../../src/wires/anthropic-messages/upstream.ts';
import { messageEvents } from '../../../src/wires/anthropic-messages/events.ts';
import { mergeUsage, type ReportedUsage } from '../../../src/wires/usage.ts';
import type { AnswerContext, Progress, Seen } from '../../../src/wires/wire.ts';
import { decodeStrictly } from '../../support/strict-decoder.ts';

/** Recorded answers of providers, which lie beside the project where they are there at all. */
const FOLDER = new URL('../../../../shared/transcripts/', import.meta.url);
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

interface Recorded {
  file: string;
  provider: string;
  status: number;
  usage: {
    uncachedInput: number;
    cachedRead: number;
    cacheWrite: number;
    cacheWrite1h?: number;
    output: number;
    reasoning: number | null;
  } | null;
}

function recorded(): Recorded[] {
  const index = new URL('index.json', FOLDER);
  if (!existsSync(index)) return [];
  const entries = JSON.parse(readFileSync(index, 'utf8')) as Recorded[];
  return entries.filter(({ provider, file }) => provider === 'anthropic' && !file.includes('count-tokens'));
}

const all = recorded();
const streams = all.filter(({ file }) => file.endsWith('.sse'));
const bodies = all.filter(({ file, status }) => file.endsWith('.json') && status === 200);
const errors = all.filter(({ status }) => status !== 200);
const failed = (file: string): boolean => file.includes('error-in-stream');
const CONTEXT: AnswerContext = { requestId: 'req_1', model: 'claude', created: 0, promptTokens: 10 };
const bytesOf = (file: string): Buffer => readFileSync(new URL(file, FOLDER));

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}

/** The bytes whole, one by one, and in pieces of random sizes. */
function splits(bytes: Buffer): Record<string, Buffer[]> {
  const next = random(SEED);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 1 + Math.floor(next() * 400);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return { whole: [bytes], bytes: Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)), [`random, seed ${SEED}`]: pieces };
}

function check(usage: ReportedUsage | null, wanted: Recorded['usage']): void {
  const long = wanted?.cacheWrite1h ?? 0;
  expect(usage).toEqual(
    wanted && {
      input: wanted.uncachedInput,
      cacheRead: wanted.cachedRead,
      cacheWrite: wanted.cacheWrite - long,
      cacheWriteLong: long,
      output: wanted.output,
      reasoning: wanted.reasoning ?? 0,
    },
  );
}

interface Whole {
  texts: string[];
  thoughts: string[];
  signatures: string[];
  calls: { id: string; name: string; input: string }[];
  citations: number;
  finish: string | null;
  finishes: string | null;
}

/** What the parts of a stream come to. Throws where their order breaks the contract. */
function gather(parts: readonly StreamPart[]): Whole {
  const whole: Whole = { texts: [], thoughts: [], signatures: [], calls: [], citations: 0, finish: null, finishes: null };
  let open = null as { block: number; text: string; part: StreamPart & { type: 'block_start' } } | null;
  let blocks = 0;
  for (const [index, part] of parts.entries()) {
    if (part.type === 'start') assert.equal(index, 0);
    if (part.type === 'block_start') {
      assert.ok(!open);
      assert.equal(part.block, blocks++);
      open = { block: part.block, text: '', part };
      if (part.head.type === 'reasoning' && part.head.redacted) whole.signatures.push(part.head.redacted.value);
    } else if (part.type === 'delta' || part.type === 'signature' || part.type === 'citation' || part.type === 'block_end') {
      assert.ok(open && open.block === part.block);
      if (part.type === 'delta') open.text += part.text;
      if (part.type === 'signature') whole.signatures.push(part.signature.value);
      if (part.type === 'citation') whole.citations += 1;
      if (part.type !== 'block_end') continue;
      const { head } = open.part;
      if (head.type === 'text') whole.texts.push(open.text);
      if (head.type === 'reasoning') whole.thoughts.push(open.text);
      if (head.type === 'tool_call') whole.calls.push({ id: head.id, name: head.name, input: open.text });
      open = null;
    } else if (part.type === 'finish') {
      assert.ok(!open);
      assert.equal(whole.finish, null);
      whole.finish = part.finish.native ?? null;
      whole.finishes = part.finish.reason;
    } else if (part.type === 'done' || part.type === 'failed') {
      assert.ok(!open);
      assert.equal(index, parts.length - 1);
    }
  }
  assert.ok(!open);
  return whole;
}

/** The same, told by the recording itself, read plainly: every content block in turn. */
function plain(bytes: Buffer): Whole {
  const whole: Whole = { texts: [], thoughts: [], signatures: [], calls: [], citations: 0, finish: null, finishes: null };
  interface Event {
    type: string;
    index: number;
    content_block: { type: string; id: string; name: string; text: string; data: string };
    delta: Record<string, string> & { citation?: unknown };
  }
  let type = '';
  for (const line of bytes.toString().split('\n')) {
    if (!line.startsWith('data:')) continue;
    const event = JSON.parse(line.slice(5)) as Event;
    if (event.type === 'content_block_start') {
      type = event.content_block.type;
      if (type === 'text') whole.texts.push(event.content_block.text);
      if (type === 'thinking' || type === 'redacted_thinking') whole.thoughts.push('');
      if (type === 'redacted_thinking') whole.signatures.push(event.content_block.data);
      if (type === 'tool_use') whole.calls.push({ id: event.content_block.id, name: event.content_block.name, input: '' });
    }
    const { delta } = event;
    if (event.type === 'content_block_delta') {
      if (type === 'text' && delta['text']) whole.texts.push((whole.texts.pop() ?? '') + delta['text']);
      if (type === 'thinking' && delta['thinking']) whole.thoughts.push((whole.thoughts.pop() ?? '') + delta['thinking']);
      if (delta['signature']) whole.signatures.push(delta['signature']);
      if (delta.citation) whole.citations += 1;
      const call = whole.calls.at(-1);
      if (type === 'tool_use' && call) call.input += delta['partial_json'] ?? '';
    }
    if (event.type === 'message_delta') whole.finish = delta['stop_reason'] ?? null;
  }
  return whole;
}

const FINISHES: Record<string, string> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  tool_use: 'tool_calls',
  max_tokens: 'length',
  refusal: 'refusal',
  pause_turn: 'pause',
};

(all.length > 0 ? describe : describe.skip)('recorded answers of Anthropic (../shared/transcripts)', () => {
  it('are there', () => {
    expect(streams.length).toBeGreaterThanOrEqual(20);
    expect(bodies.length).toBeGreaterThanOrEqual(15);
    expect(errors.length).toBeGreaterThanOrEqual(4);
  });

  it.each(streams)('$file, taken apart', ({ file, usage }) => {
    const bytes = bytesOf(file);
    const wanted = plain(bytes);
    for (const pieces of Object.values(splits(bytes))) {
      const reader = upstream.parts();
      const parts = [...pieces.flatMap((piece) => reader.push(piece)), ...reader.finish()];
      const { finishes, ...whole } = gather(parts);
      const { finishes: _none, ...said } = wanted;
      expect(whole).toEqual(said);
      expect(finishes).toBe(failed(file) ? null : FINISHES[wanted.finish ?? '']);
      expect(parts.at(-1)?.type).toBe(failed(file) ? 'failed' : 'done');
      expect(parts.filter(({ type }) => type === 'start')).toHaveLength(1);
      let seen: ReportedUsage | null = null;
      for (const part of parts) if (part.type === 'usage') seen = mergeUsage(seen, part.usage);
      check(seen, usage);
    }
  });

  it.each(streams)('$file, watched on the same wire', ({ file, usage }) => {
    const bytes = bytesOf(file);
    for (const pieces of Object.values(splits(bytes))) {
      const reader = upstream.reader(CONTEXT);
      const seen: Seen[] = [...pieces.map((piece) => reader.push(piece)), reader.finish()];
      const forward = Buffer.concat(seen.map((one) => one.forward));
      const cut = bytes.indexOf(failed(file) ? 'event: error' : 'event: message_stop');
      expect(forward.equals(bytes.subarray(0, cut))).toBe(true);
      const ending = reader.ending(null);
      expect(ending.usage).toHaveLength(0);
      const rest = failed(file) ? '' : bytes.subarray(cut).toString().trim();
      expect(failed(file) ? '' : ending.last.toString().trim()).toBe(rest);
      decodeStrictly(forward.toString());
      decodeStrictly(ending.last.toString());
      let figures: ReportedUsage | null = null;
      for (const one of seen.flatMap(({ usages }) => usages)) figures = mergeUsage(figures, one.usage);
      check(figures, usage);
      expect(seen.some(({ failure }) => failure !== undefined)).toBe(failed(file));
      expect(seen.at(-1)?.done).toBe(true);
      const progress: Progress = { written: { texts: [], binaryCharacters: 0 }, open: new Set(), finished: new Set() };
      messageEvents.read(forward, progress);
      expect(progress.finished.size).toBe(failed(file) ? 0 : 1);
      expect(progress.open.size).toBe(failed(file) ? 1 : 0);
      expect(messageEvents.isDelivery(forward)).toBe(true);
      const { texts, thoughts, calls } = plain(bytes);
      const written = progress.written.texts.join('');
      for (const text of [...texts, ...thoughts, ...calls.map(({ input }) => input)]) expect(written).toContain(text);
    }
  });

  it.each(bodies)('$file, read whole', ({ file, usage }) => {
    const body = JSON.parse(bytesOf(file).toString()) as {
      content: Record<string, string & object>[];
      stop_reason: string;
      stop_sequence: string | null;
    };
    const read = upstream.read(body);
    check(read.usage, usage);
    expect(read.failure).toBeUndefined();
    expect(read.isAnswer).toBe(true);
    const { completions }: Answer = read.answer();
    expect(completions).toHaveLength(1);
    const [only] = completions;
    expect(only?.finish.reason).toBe(FINISHES[body.stop_reason]);
    expect(only?.finish.stopSequence ?? null).toBe(body.stop_sequence);
    const wanted = body.content.map((block): Part => {
      if (block['type'] === 'text') return { type: 'text', text: block['text'] ?? '' };
      if (block['type'] === 'thinking') {
        return {
          type: 'reasoning',
          text: block['thinking'] ?? '',
          signature: { wire: 'anthropic-messages', value: block['signature'] ?? '' },
        };
      }
      const input = JSON.stringify(block['input']);
      return { type: 'tool_call', id: block['id'] ?? '', name: block['name'] ?? '', input: input === '{}' ? '' : input, kind: 'function' };
    });
    expect(only?.parts).toEqual(wanted);
    const written = read.written().texts.join('');
    for (const block of body.content) expect(written).toContain(block['text'] ?? block['name'] ?? block['thinking'] ?? '');
  });

  it.each(errors)('$file, a failure', ({ file }) => {
    const read = upstream.read(JSON.parse(bytesOf(file).toString()));
    expect(read.failure).toMatchObject({ type: expect.any(String), message: expect.any(String) });
    expect(read.isAnswer).toBe(false);
  });

  it('shares memory with the chunk on the fast path', () => {
    const reader = upstream.reader(CONTEXT);
    const chunk = Buffer.from(
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n',
    );
    const { forward } = reader.push(chunk);
    expect(forward.buffer).toBe(chunk.buffer);
    expect(forward.byteOffset).toBe(chunk.byteOffset);
  });
});
