import { existsSync, readFileSync } from 'node:fs';
import type { WireName } from '../../src/wires/wire.ts';

/** Recorded answers of providers, which lie beside the project where they are there at all. */
const FOLDER = new URL('../../../shared/transcripts/', import.meta.url);

/** One recorded answer, as the index of all of them tells it. */
export interface Transcript {
  readonly file: string;
  readonly provider: string;
  readonly status: number;
  readonly path: string | null;
  readonly contentType: string;
  readonly usage: TranscriptUsage | null;
  /** The file with the request that got this answer. */
  readonly request?: string;
}

export interface TranscriptUsage {
  readonly uncachedInput: number;
  readonly cachedRead: number;
  readonly cacheWrite: number;
  readonly output: number;
  /** Null where the provider does not say. */
  readonly reasoning: number | null;
}

export const PROVIDERS = [
  'anthropic',
  'custom',
  'deepseek',
  'gemini',
  'groq',
  'moonshot',
  'openai-chat',
  'openai-completions',
  'openai-embeddings',
  'openai-responses',
];

/** All recorded answers of a provider; none where there are no recordings. */
export function transcriptsOf(provider: string): Transcript[] {
  const index = new URL('index.json', FOLDER);
  if (!existsSync(index)) return [];
  return (JSON.parse(readFileSync(index, 'utf8')) as Transcript[]).filter((entry) => entry.provider === provider);
}

/** The bytes of a file of a recording. */
export function transcriptBytes(file: string): Buffer {
  return readFileSync(new URL(file, FOLDER));
}

/** The wire that an answer was recorded in. */
export function wireOf({ provider, path }: Transcript): WireName {
  if (path?.includes('responses')) return 'openai-responses';
  if (provider === 'anthropic') return 'anthropic-messages';
  if (provider === 'gemini') return 'gemini-generate';
  return provider.startsWith('openai-') ? (provider as WireName) : 'openai-chat';
}
