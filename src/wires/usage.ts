/** Tokens in disjoint buckets: a prompt is `input + cacheRead + cacheWrite + cacheWriteLong`. Integers of 0 or more. */
export interface Usage {
  /** Of the prompt: neither read from a cache nor written to one. */
  readonly input: number;
  readonly cacheRead: number;
  /** Written to a cache for its usual lifetime, and for an hour or more. */
  readonly cacheWrite: number;
  readonly cacheWriteLong: number;
  /** All that was generated, reasoning included. */
  readonly output: number;
  /** How much of `output` was reasoning. */
  readonly reasoning: number;
}

export const ZERO_USAGE: Usage = { input: 0, cacheRead: 0, cacheWrite: 0, cacheWriteLong: 0, output: 0, reasoning: 0 };

/** What a provider says that it counted, as far as its word is sound: null where it says nothing sound. */
export interface ReportedUsage extends Omit<Usage, 'input' | 'output'> {
  readonly input: number | null;
  readonly output: number | null;
}

/** Tokens of the whole prompt. */
export function promptTokensOf({ input, cacheRead, cacheWrite, cacheWriteLong }: Omit<Usage, 'output' | 'reasoning'>): number {
  return input + cacheRead + cacheWrite + cacheWriteLong;
}

/** The figures of a stream that tells them more than once: the later ones count, but for what they leave out or give as nothing. */
export function mergeUsage(before: ReportedUsage | null, after: ReportedUsage): ReportedUsage {
  if (!before) return after;
  const prompt = after.input === null || isNothing(after) ? before : after;
  const output = after.output ? after : before;
  return {
    input: prompt.input ?? after.input,
    cacheRead: prompt.cacheRead,
    cacheWrite: prompt.cacheWrite,
    cacheWriteLong: prompt.cacheWriteLong,
    output: output.output ?? after.output,
    reasoning: output.reasoning,
  };
}

function isNothing({ input, cacheRead, cacheWrite, cacheWriteLong }: ReportedUsage): boolean {
  return (input ?? 0) + cacheRead + cacheWrite + cacheWriteLong === 0;
}

/** Far above any model's context or output times `n`; a count beyond it is a fault, not a bill. */
const MAX_TOKENS = 1_000_000_000;

/** A count on the wire, also in digits; null where it is none: negative, fractional, absurdly large or no number. */
export function wireCount(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,12}(?:\.0+)?$/.test(value) ? Number(value) : value;
  return Number.isSafeInteger(number) && (number as number) >= 0 && (number as number) <= MAX_TOKENS ? (number as number) : null;
}
