import { describe, expect, it } from '@jest/globals';
import type { StreamPart } from '../../../src/wires/answer.ts';
import type { Part } from '../../../src/wires/generation.ts';
import { responseEvents } from '../../../src/wires/openai-responses/events.ts';
import { readAnswer } from '../../../src/wires/openai-responses/answer.ts';
import { ResponsesPartReader } from '../../../src/wires/openai-responses/parts.ts';
import { ResponsesReader } from '../../../src/wires/openai-responses/reader.ts';
import { parseEvents } from '../../../src/wires/sse.ts';
import type { JsonObject, Progress, Seen } from '../../../src/wires/wire.ts';
import { blocksOf, bytesOf, pieces, recordedAnswers, streamsIn, wanted, type Block, type Recorded } from './recorded.ts';

const answers = recordedAnswers();
/** One file holds the streams of several requests; its figures are those of the last. */
const allStreams = answers
  .filter(({ file }) => file.endsWith('.sse'))
  .flatMap((recorded) => {
    const all = streamsIn(bytesOf(recorded.file));
    return all.map((bytes, index) => ({ ...recorded, file: `${recorded.file}#${index}`, bytes, isLast: index === all.length - 1 }));
  });
const isFailed = ({ file }: Recorded): boolean => file.includes('error-in-stream');
const streams = allStreams.filter((recorded) => !isFailed(recorded));
const bodies = answers.filter(({ file }) => file.endsWith('.json'));
const anything: unknown = expect.anything();
const seed = Math.floor(Math.random() * 2 ** 31);

/** What the last event of a stream, or a body, holds: the truth that the pieces on the way must come to. */
function blocksIn(response: JsonObject): Block[] {
  const [completion] = readAnswer(response).answer().completions;
  return (completion?.parts ?? []).map((part: Part) => {
    if (part.type === 'tool_call') return { type: part.type, text: part.input, name: part.name, id: part.id };
    if (part.type === 'reasoning') return { type: part.type, text: part.text, signature: part.signature };
    return { type: part.type, text: (part as { text: string }).text };
  });
}

function partsOf(packets: readonly Buffer[]): StreamPart[] {
  const reader = new ResponsesPartReader();
  return [...packets.flatMap((packet) => reader.push(packet)), ...reader.finish()];
}

function watch(packets: readonly Buffer[]): { forward: Buffer; seen: Seen[]; last: Buffer } {
  const reader = new ResponsesReader();
  const seen = [...packets.map((packet) => reader.push(packet)), reader.finish()];
  return { forward: Buffer.concat(seen.map(({ forward }) => forward)), seen, last: reader.ending(null).last };
}

const finalOf = (bytes: Buffer): JsonObject => [...parseEvents(bytes)].at(-1) ?? {};
const whole = (parts: readonly StreamPart[]): string => JSON.stringify(parts);
const crumbs = (bytes: Buffer): Buffer[] => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));

(answers.length > 0 ? describe : describe.skip)(`recorded responses (../shared/transcripts), split with seed ${seed}`, () => {
  it.each(streams)('$file: taken apart, it says what its last event holds', (recorded) => {
    const { bytes } = recorded;
    const parts = partsOf([bytes]);
    for (const split of [crumbs(bytes), pieces(bytes, seed)]) expect(whole(partsOf(split))).toBe(whole(parts));
    const blocks = blocksOf(parts);
    const response = finalOf(bytes)['response'] as JsonObject;
    const seals = (list: Block[]) => list.map(({ signature: _signature, ...block }) => block);
    expect(seals(blocks)).toEqual(seals(blocksIn(response)));
    expect(blocks.length).toBeGreaterThan(0);
    const [finish, usage, done] = parts.slice(-3);
    const reason = blocks.some(({ type }) => type === 'tool_call') ? 'tool_calls' : 'stop';
    expect(finish).toEqual({ type: 'finish', completion: 0, finish: { reason, native: 'completed' } });
    expect(usage).toEqual({ type: 'usage', usage: recorded.isLast ? wanted(recorded) : anything });
    expect(done).toEqual({ type: 'done' });
    expect(parts.filter(({ type }) => type === 'start')).toEqual([{ type: 'start', model: response['model'] }]);
  });

  it.each(streams)('$file: watched, every byte goes out but the last event, which waits', (recorded) => {
    const { bytes } = recorded;
    const { forward, seen, last } = watch([bytes]);
    for (const split of [crumbs(bytes), pieces(bytes, seed)]) {
      const again = watch(split);
      expect(again.forward.equals(forward)).toBe(true);
      expect(again.last.equals(last)).toBe(true);
      expect(again.seen.flatMap(({ usages }) => usages.map(({ usage }) => usage))).toEqual(
        seen.flatMap(({ usages }) => usages.map(({ usage }) => usage)),
      );
    }
    expect(seen.some(({ done }) => done)).toBe(true);
    expect(Buffer.concat([forward, last]).toString().trim()).toBe(bytes.toString().trim());
    const usage: unknown = recorded.isLast ? wanted(recorded) : anything;
    expect(seen.flatMap(({ usages }) => usages)).toEqual([{ usage, alone: true, offset: forward.length }]);
    expect(responseEvents.isDelivery(forward)).toBe(true);
  });

  it.each(streams)('$file: what was handed on is counted once', ({ bytes }) => {
    const progress: Progress = { written: { texts: [], binaryCharacters: 0 }, open: new Set(), finished: new Set() };
    responseEvents.read(bytes, progress);
    const blocks = blocksIn(finalOf(bytes)['response'] as JsonObject);
    const told = blocks.map(({ text, name = '' }) => text + name).join('');
    const letters = (text: string): string => text.replace(/\s/g, '').split('').toSorted().join('');
    expect(letters(progress.written.texts.join(''))).toBe(letters(told));
    expect(progress.finished.size).toBe(1);
    expect(progress.open.size).toBe(0);
  });

  it.each(allStreams.filter(isFailed))('$file: a failure ends it, and is not handed on', ({ bytes }) => {
    for (const split of [[bytes], crumbs(bytes), pieces(bytes, seed)]) {
      expect(partsOf(split).at(-1)).toMatchObject({ type: 'failed', failure: { code: 'insufficient_quota' } });
      const { forward, seen, last } = watch(split);
      expect(seen.find(({ failure }) => failure !== undefined)?.failure).toMatchObject({ code: 'insufficient_quota' });
      expect(seen.at(-1)?.done).toBe(true);
      expect(last).toHaveLength(0);
      expect(forward.toString()).not.toContain('quota');
      expect(responseEvents.isDelivery(forward)).toBe(false);
    }
  });

  it.each(bodies)('$file: its usage, and what was written', (recorded) => {
    const read = readAnswer(JSON.parse(bytesOf(recorded.file).toString()));
    expect(read.failure).toBeUndefined();
    expect(read.isAnswer).toBe(true);
    expect(read.usage).toEqual(wanted(recorded));
    const { completions, usage } = read.answer();
    expect(usage).toEqual(read.usage);
    const [completion] = completions;
    expect(completion?.finish.reason).toBe(recorded.file.includes('/tool') ? 'tool_calls' : 'stop');
    const texts = (completion?.parts ?? []).map((part) => (part.type === 'tool_call' ? part.input : (part as { text: string }).text));
    for (const text of texts) expect(read.written().texts.join('\n')).toContain(text);
  });
});

it('hands events on in the memory that they came in', () => {
  const chunk = Buffer.from(
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","output_index":0,"delta":"a"}\n\n',
  );
  const { forward, done } = new ResponsesReader().push(chunk);
  expect(forward.buffer).toBe(chunk.buffer);
  expect([forward.byteOffset, forward.length, done]).toEqual([chunk.byteOffset, chunk.length, false]);
});
