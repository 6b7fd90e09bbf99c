import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { Delivered, tokensOfWritten } from '../../src/completions/delivered.ts';
import { chatEvents } from '../../src/wires/openai-chat/events.ts';
import { ChatStreamReader } from '../../src/wires/openai-chat/reader.ts';
import { openAiChatUpstream } from '../../src/wires/openai-chat/upstream.ts';
import { mergeUsage, type ReportedUsage } from '../../src/wires/usage.ts';
import { decodeStrictly } from '../support/strict-decoder.ts';

/** Recorded answers of providers, which lie beside the project where they are there at all. */
const FOLDER = new URL('../../../shared/transcripts/', import.meta.url);
const SPEAKING_OUR_WIRE = new Set(['openai-chat', 'groq', 'deepseek', 'moonshot', 'custom']);

interface Recorded {
  file: string;
  provider: string;
  status: number;
  path: string | null;
  usage: { uncachedInput: number; cachedRead: number; cacheWrite: number; output: number; reasoning: number | null } | null;
}

function recorded(): Recorded[] {
  const index = new URL('index.json', FOLDER);
  if (!existsSync(index)) return [];
  const entries = JSON.parse(readFileSync(index, 'utf8')) as Recorded[];
  return entries.filter(({ provider, status, path }) => SPEAKING_OUR_WIRE.has(provider) && status === 200 && !path?.includes('responses'));
}

const answers = recorded();
const streams = answers.filter(({ file }) => file.endsWith('.sse'));
const bodies = answers.filter(({ file }) => file.endsWith('.json'));
const failed = (file: string): boolean => file.includes('error-in-stream');
const countBytes = (text: string): number => Math.ceil(Buffer.byteLength(text) / 4);

function check(usage: ReportedUsage | null, wanted: Recorded['usage']): void {
  expect(usage).toEqual(
    wanted && {
      input: wanted.uncachedInput,
      output: wanted.output,
      cacheRead: wanted.cachedRead,
      cacheWrite: wanted.cacheWrite,
      cacheWriteLong: 0,
      reasoning: wanted.reasoning ?? 0,
    },
  );
}

/** What a reader hands on of these packets, and what it sees in them. */
async function scan(packets: Buffer[]): Promise<{ forward: Buffer; usage: ReportedUsage | null; failure: unknown; delivered: Delivered }> {
  const reader = new ChatStreamReader({ requestId: 'id', model: 'model', created: 0, promptTokens: 1 });
  const delivered = new Delivered(chatEvents, countBytes);
  const forward: Buffer[] = [];
  let usage: ReportedUsage | null = null;
  let failure: unknown;
  for (const scanned of [...packets.map((packet) => reader.push(packet)), reader.finish()]) {
    forward.push(scanned.forward);
    delivered.add(scanned.forward);
    failure ??= scanned.failure;
    for (const seen of scanned.usages) usage = mergeUsage(usage, seen.usage);
  }
  return { forward: Buffer.concat(forward), usage, failure, delivered };
}

(answers.length > 0 ? describe : describe.skip)('recorded answers (../shared/transcripts)', () => {
  it.each(streams)('$file: its usage, its end and its events', async ({ file, usage }) => {
    const bytes = readFileSync(new URL(file, FOLDER));
    const whole = await scan([bytes]);
    const crumbs = await scan(Array.from({ length: Math.ceil(bytes.length / 11) }, (_, at) => bytes.subarray(at * 11, at * 11 + 11)));
    expect(crumbs.forward.equals(whole.forward)).toBe(true);
    check(whole.usage, usage);
    check(crumbs.usage, usage);
    expect(whole.failure !== undefined).toBe(failed(file));
    expect(whole.delivered.finished()).toBe(!failed(file));
    decodeStrictly(whole.forward.toString());
    expect(chatEvents.isDelivery(whole.forward)).toBe(file !== 'openai-chat/error-in-stream.sse');
    // Within reach of the provider's count of what is shown: nothing of the server's is counted, nothing of the model's forgotten.
    const shown = usage ? Math.max(usage.output - (usage.reasoning ?? 0), 1) : Infinity;
    expect(await whole.delivered.tokens()).toBeLessThanOrEqual(2 * Math.max(usage?.output ?? Infinity, 8));
    expect(await whole.delivered.tokens()).toBeGreaterThanOrEqual(
      usage && file !== 'moonshot/usage-in-choice-stream.sse' ? Math.floor(shown / 8) : 0,
    );
  });

  it.each(bodies)('$file: its usage, and what was written', async ({ file, usage }) => {
    const body = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Record<string, unknown>;
    const read = openAiChatUpstream.read(body);
    expect(read.failure).toBeUndefined();
    check(read.usage, usage);
    const tokens = await tokensOfWritten(read.written(), countBytes);
    expect(tokens).toBeLessThanOrEqual(2 * Math.max(usage?.output ?? Infinity, 8));
  });
});

it('says so where there are none', () => {
  expect(answers.length === 0 || answers.length > 30).toBe(true);
});
