import { formatUsd, picoUsd, usdNumber, type PicoUsd } from '../amount.ts';
import type { Bill, Spent } from '../metering/bill.ts';
import type { Candidate } from '../routing/candidate.ts';
import type { Head } from './head.ts';

/** How far a cascade climbed for its answer. */
export interface Climb {
  /** How many steps were asked, those that failed included. */
  readonly depth: number;
  /** The answers that were found too weak, in the order they were asked for: the client gets none of them, and all are charged. */
  readonly passed: readonly PassedAnswer[];
  /** In the answer that the client gets; null where it was not judged, as a stream that goes out as it is written. */
  readonly confidence: number | null;
  /** The events of an answered stream that the client has yet to get; null where they have gone out, or there is no stream. */
  readonly held: Buffer | null;
  /** What a bill's answer would have cost at the dearest step alone. */
  readonly costAtTop: (answer: Spent) => PicoUsd;
}

/** An answer that was not good enough. */
export interface PassedAnswer {
  readonly candidate: Candidate;
  readonly spent: Spent;
  readonly confidence: number;
}

/** What of a climb the client is told in headers. */
export function climbHead(climb: Climb | undefined, bill: Bill): Head {
  if (!climb) return [];
  const { depth, confidence } = climb;
  return [...depthHead(depth, savingsOf(climb, bill)), ...(confidence === null ? [] : ['X-Pura-Confidence', confidence.toFixed(2)])];
}

/** The same of a last step's stream, whose head goes out before anything is known of its answer: that step saves nothing. */
export function depthHead(depth: number, savingsPicoUsd = picoUsd(0n)): Head {
  return ['X-Pura-Cascade-Depth', String(depth), 'X-Pura-Cascade-Savings', formatUsd(savingsPicoUsd)];
}

/** What of a climb a stream's comment tells, for the head may have gone out before. */
export function climbFigures(climb: Climb | undefined, bill: Bill): Record<string, number> | undefined {
  if (!climb) return undefined;
  const { depth, confidence } = climb;
  return {
    cascade_depth: depth,
    cascade_savings_usd: usdNumber(savingsOf(climb, bill)),
    ...(confidence !== null && { confidence }),
  };
}

/** How much dearer the last step that could have been asked would have been for the same answer; nothing where it would not. */
function savingsOf({ costAtTop }: Climb, { spent, costPicoUsd }: Bill): PicoUsd {
  const answer = spent.at(-1);
  const saved = answer ? costAtTop(answer) - costPicoUsd : 0n;
  return picoUsd(saved > 0n ? saved : 0n);
}
