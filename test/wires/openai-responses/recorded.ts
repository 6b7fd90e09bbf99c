import { existsSync, readFileSync } from 'node:fs';
import type { StreamPart } from '../../../src/wires/answer.ts';
import type { ReportedUsage } from '../../../src/wires/usage.ts';

/** Recorded answers of providers, which lie beside the project where they are there at all. */
const FOLDER = new URL('../../../../shared/transcripts/', import.meta.url);

export interface Recorded {
  readonly file: string;
  readonly status: number;
  readonly path: string | null;
  readonly usage: { uncachedInput: number; cachedRead: number; cacheWrite: number; output: number; reasoning: number | null } | null;
}

/** The recorded answers of this wire, of any provider. */
export function recordedAnswers(): Recorded[] {
  const index = new URL('index.json', FOLDER);
  if (!existsSync(index)) {
    console.warn(`skipped: no transcripts in ${FOLDER.pathname}`);
    return [];
  }
  const entries = JSON.parse(readFileSync(index, 'utf8')) as Recorded[];
  return entries.filter(
    ({ file, status }) => status === 200 && /^openai-responses\/|^deepseek\/responses/.test(file) && !file.includes('count-tokens'),
  );
}

export function bytesOf(file: string): Buffer {
  return readFileSync(new URL(file, FOLDER));
}

export function hasFile(file: string): boolean {
  return existsSync(new URL(file, FOLDER));
}

/** The streams in a file, one after the other. */
export function streamsIn(bytes: Buffer): Buffer[] {
  const starts: number[] = [];
  for (let at = bytes.indexOf('event: response.created'); at >= 0; at = bytes.indexOf('event: response.created', at + 1)) starts.push(at);
  return starts.map((start, index) => bytes.subarray(start, starts[index + 1]));
}

/** The figures that the index gives, in buckets. */
export function wanted({ usage }: Recorded): ReportedUsage | null {
  return (
    usage && {
      input: usage.uncachedInput,
      cacheRead: usage.cachedRead,
      cacheWrite: usage.cacheWrite,
      cacheWriteLong: 0,
      output: usage.output,
      reasoning: usage.reasoning ?? 0,
    }
  );
}

/** Bytes in pieces of a seeded random size. */
export function pieces(bytes: Buffer, seed: number, most = 90): Buffer[] {
  const cut: Buffer[] = [];
  let state = seed;
  for (let at = 0; at < bytes.length;) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const size = 1 + ((state >>> 8) % most);
    cut.push(bytes.subarray(at, at + size));
    at += size;
  }
  return cut;
}

/** A block of a stream, put together again. */
export interface Block {
  type: string;
  text: string;
  name?: string;
  id?: string;
  signature?: unknown;
}

/** The blocks of a stream; throws where they overlap, or are not begun and ended once. */
export function blocksOf(parts: readonly StreamPart[]): Block[] {
  const blocks: Block[] = [];
  const open = new Map<number, number>();
  for (const part of parts) {
    if (part.type === 'block_start') {
      if (part.block !== blocks.length || open.has(part.completion)) throw new Error(`block ${part.block} begins out of order`);
      open.set(part.completion, part.block);
      const { head } = part;
      blocks.push({ type: head.type, text: '', ...(head.type === 'tool_call' && { name: head.name, id: head.id }) });
    } else if (part.type === 'delta' || part.type === 'signature' || part.type === 'block_end' || part.type === 'citation') {
      const block = blocks[part.block];
      if (!block || ![...open.values()].includes(part.block)) throw new Error(`block ${part.block} is not open`);
      if (part.type === 'delta') block.text += part.text;
      else if (part.type === 'signature') block.signature = part.signature;
      else if (part.type === 'block_end') for (const [completion, one] of open) if (one === part.block) open.delete(completion);
    } else if (part.type === 'finish' && open.has(part.completion)) {
      throw new Error('finished with a block open');
    }
  }
  return blocks;
}

/** The wire that each folder of recordings speaks, where that is not its name. */
const WIRE_OF: Readonly<Record<string, string>> = {
  anthropic: 'anthropic-messages',
  gemini: 'gemini-generate',
  groq: 'openai-chat',
  deepseek: 'openai-chat',
  moonshot: 'openai-chat',
  custom: 'openai-chat',
};

/** The recorded streams of these wires that hold something, and of this one. */
export function everyStream(wires: readonly string[]): { file: string; wire: string }[] {
  const index = new URL('index.json', FOLDER);
  if (!existsSync(index)) return [];
  const all = JSON.parse(readFileSync(index, 'utf8')) as Recorded[];
  return all
    .filter(({ file, status }) => status === 200 && file.endsWith('.sse') && !/^openai-responses\/(?:error|encrypted)/.test(file))
    .map(({ file }) => ({ file, wire: WIRE_OF[file.split('/')[0] ?? ''] ?? file.split('/')[0] ?? '' }))
    .filter(({ file, wire }) => [...wires, 'openai-responses'].includes(wire) && !file.includes('error-in-stream'));
}
