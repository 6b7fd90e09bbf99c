import type { AttemptOutcome } from './gate.ts';

/** Sums over attempts; those of two spans add up. */
export interface Tally {
  ok: number;
  faults: number;
  /** Of the successful ones: to the first token of a stream, to the end of an answer that came whole. */
  latencyMs: number;
  /** Streams with a first token, and how long they took to it. */
  streams: number;
  ttftMs: number;
  /** Output that was measured, and the time that it took to write. */
  outputTokens: number;
  outputSeconds: number;
}

/** What a tally says. Null where it has nothing to say it by. */
export interface Rates {
  readonly requests: number;
  /** 0 to 1. */
  readonly successRate: number | null;
  readonly latencyMs: number | null;
  readonly ttftMs: number | null;
  readonly tokensPerSecond: number | null;
}

export const TALLY_KEYS = ['ok', 'faults', 'latencyMs', 'streams', 'ttftMs', 'outputTokens', 'outputSeconds'] as const;

export function emptyTally(): Tally {
  return { ok: 0, faults: 0, latencyMs: 0, streams: 0, ttftMs: 0, outputTokens: 0, outputSeconds: 0 };
}

/** The tally of one attempt; null where it says nothing of its deployment. */
export function tallyOf(outcome: AttemptOutcome): Tally | null {
  if (outcome.kind === 'void') return null;
  if (outcome.kind === 'fault') return { ...emptyTally(), faults: 1 };
  const { ttftMs, outputTokens, seconds } = outcome;
  const outputSeconds = seconds - (ttftMs ?? 0) / 1000;
  const isMeasured = outputTokens > 0 && outputSeconds > 0;
  return {
    ok: 1,
    faults: 0,
    latencyMs: ttftMs ?? seconds * 1000,
    streams: ttftMs === null ? 0 : 1,
    ttftMs: ttftMs ?? 0,
    outputTokens: isMeasured ? outputTokens : 0,
    outputSeconds: isMeasured ? outputSeconds : 0,
  };
}

/** Adds `times` × `other` to `tally`. */
export function addTally(tally: Tally, other: Tally, times = 1): void {
  for (const key of TALLY_KEYS) tally[key] += other[key] * times;
}

export function ratesOf({ ok, faults, latencyMs, streams, ttftMs, outputTokens, outputSeconds }: Tally): Rates {
  const requests = ok + faults;
  return {
    requests,
    successRate: requests > 0 ? ok / requests : null,
    latencyMs: ok > 0 ? rounded(latencyMs / ok) : null,
    ttftMs: streams > 0 ? rounded(ttftMs / streams) : null,
    tokensPerSecond: outputSeconds > 0 ? rounded(outputTokens / outputSeconds) : null,
  };
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
