import type { Tier } from '../providers/provider.ts';
import type { Answer, Completion } from '../wires/answer.ts';
import { isObject } from '../wires/json-object.ts';
import { phrasesIn } from './doubtful-phrases.ts';
import { isLoop } from './loops.ts';
import { tokenProbability } from './token-probability.ts';

/** What was asked of a model, as far as its answer is judged by it. */
export interface Expected {
  /** 0 to 1: the chance that a model of the cheap tier answers it wrong. */
  readonly difficulty: number;
  /** The tier of the model that answered. */
  readonly tier: Tier;
  readonly wantsJson: boolean;
  /** Whether the answer had to be a tool call. */
  readonly mustCall: boolean;
}

/** No model is sure of everything. */
const AT_BEST = 0.95;
/** How much of the confidence the hardest question takes from an answer that shows no fault: most wrong answers to it do show one. */
const DOUBT: Readonly<Record<Tier, number>> = { cheap: 0.35, mid: 0.25, premium: 0.15 };
/** What is no answer to what was asked: not JSON, no call, cut off, refused, a loop. */
const FAULTY = 0.1;
/** What is left of the confidence in an answer that begins by declining, and after each distinct hedge. */
const DECLINED = 0.3;
const HEDGED = 0.7;
const LEAST_HEDGED = 0.4;
/** An answer to the hardest question is expected to have this many characters; one of none would keep this much of the confidence. */
const EXPECTED_CHARACTERS = 240;
const TOO_SHORT = 0.7;
/** Easier questions than this may have an answer of a word. */
const EASY = 0.5;

/** The geometric mean of the tokens' probabilities, and how often such an answer is right. Between two of them lies a straight line. */
const CALIBRATION: readonly (readonly [probability: number, confidence: number])[] = [
  [0, 0],
  [0.4, 0.05],
  [0.6, 0.3],
  [0.75, 0.55],
  [0.85, 0.75],
  [0.95, 0.92],
  [1, 0.97],
];

/**
 * How far an answer can be trusted: 0 to 1, in hundredths. Pure. Log probabilities speak where the answer has some; else the question's
 * difficulty for such a model, and the answer itself. Of several completions the worst counts: all of them go to the client.
 */
export function confidenceIn({ completions }: Answer, expected: Expected): number {
  if (completions.length === 0) return 0;
  return Math.min(...completions.map((completion) => inHundredths(confidenceInOne(completion, expected))));
}

function confidenceInOne({ parts, finish, logprobs }: Completion, expected: Expected): number {
  const text = parts
    .map((part) => (part.type === 'text' ? part.text : ''))
    .join('')
    .trim();
  const calls = parts.filter((part) => part.type === 'tool_call');
  const isRefused = parts.some(({ type }) => type === 'refusal');
  if (finish.reason === 'error' || (text === '' && calls.length === 0 && !isRefused)) return 0;
  if (isRefused || ['length', 'content_filter', 'refusal'].includes(finish.reason)) return FAULTY;
  if (calls.some(({ kind, input }) => kind === 'function' && !isArguments(input))) return FAULTY;
  if (calls.length === 0 && (expected.mustCall || (expected.wantsJson && !isJson(text)) || isLoop(text))) return FAULTY;

  const probability = tokenProbability(logprobs);
  const base = probability === null ? withoutFault(expected) : calibrated(probability);
  // What is written for a program has no tone, and no length of its own.
  if (calls.length > 0 || expected.wantsJson) return base;
  const { declines, hedges } = phrasesIn(text);
  const tone = (declines ? DECLINED : 1) * Math.max(LEAST_HEDGED, HEDGED ** hedges);
  return base * tone * (probability === null ? lengthFactor(text.length, expected.difficulty) : 1);
}

function withoutFault({ difficulty, tier }: Expected): number {
  return AT_BEST - DOUBT[tier] * Math.min(Math.max(difficulty, 0), 1);
}

function lengthFactor(characters: number, difficulty: number): number {
  if (difficulty <= EASY) return 1;
  const expected = (EXPECTED_CHARACTERS * (difficulty - EASY)) / (1 - EASY);
  return TOO_SHORT + (1 - TOO_SHORT) * Math.min(1, characters / expected);
}

function calibrated(probability: number): number {
  const above = CALIBRATION.findIndex(([from]) => from >= probability);
  const [[x0, y0], [x1, y1]] = [CALIBRATION[above - 1] ?? [0, 0], CALIBRATION[above] ?? [1, 1]];
  return x1 === x0 ? y1 : y0 + ((probability - x0) / (x1 - x0)) * (y1 - y0);
}

/** A call without arguments may say nothing. */
function isArguments(input: string): boolean {
  return input.trim() === '' || isObject(parsed(input));
}

function isJson(text: string): boolean {
  return parsed(text) !== undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The figure that is told is the one that is decided by. */
function inHundredths(confidence: number): number {
  return Math.round(Math.min(Math.max(confidence, 0), 1) * 100) / 100;
}
