import { readFileSync } from 'node:fs';
import type { InferenceRequest } from '../wires/request.ts';
import type { Tier } from '../providers/provider.ts';
import { CUES, SHORT_CHARACTERS, SHORT_POINTS } from './complexity-cues.ts';
import { FEATURES, featuresOf, judgedPart, shapeOf, type Features, type Shape } from './complexity-features.ts';

/** The cheapest first. */
export const TIERS: readonly Tier[] = ['cheap', 'mid', 'premium'];

/** What the router takes a request for. */
export interface Judgement {
  /** 0 to 1: the chance that a cheap model's answer is worse than a premium one's; as outcomes had it, where there were any to fit to. */
  readonly difficulty: number;
  /** The one that the request is for: of its difficulty, and of what it says of quality. */
  readonly tier: Tier;
  /** 0.5 to 1: the chance of the likelier of the two, that a cheap model will do, and that it will not. */
  readonly confidence: number;
  /** Of what the request seems to be; the beginning of a sentence, without its full stop. */
  readonly reasoning: string;
}

/** A fitted kind of request: a weight for each feature, from which a chance is made. */
interface Fit {
  readonly bias: number;
  readonly weights: Readonly<Record<string, number>>;
}

interface Weights {
  /** Of `story` and `choices`. */
  readonly shapes: Readonly<Record<Exclude<Shape, 'open'>, Fit>>;
  /** The chance of an open request with so many points: by a logistic curve. */
  readonly open: { readonly bias: number; readonly perPoint: number };
}

/** Made by `npm run fit:router`, which also says in there how well it does. */
export const WEIGHTS_FILE = new URL('complexity-weights.json', import.meta.url);
const WEIGHTS = JSON.parse(readFileSync(WEIGHTS_FILE, 'utf8')) as Weights;

/** From these difficulties on a request is for the middle and for the top tier. */
const MID_FROM = 0.3;
const PREMIUM_FROM = 0.5;

/** Judges a request by its facts. Pure, and of bounded time however long the request. */
export function judge(request: InferenceRequest): Judgement {
  const { asked, wantsJson } = request.facts();
  const prompt = judgePrompt(asked);
  const context = contextOf(request);
  const logit = logitOf(prompt.difficulty) + WEIGHTS.open.perPoint * (context.points + (wantsJson ? 0.5 : 0));
  const difficulty = logistic(logit);
  const scored = difficulty >= PREMIUM_FROM ? 2 : difficulty >= MID_FROM ? 1 : 0;
  const { quality } = request.routing;
  const shift = quality === 'high' ? 1 : quality === 'low' ? -1 : 0;
  const tier = TIERS[Math.min(Math.max(scored + shift, 0), TIERS.length - 1)] ?? 'mid';
  const why = [...prompt.why, ...context.why];
  const moved = TIERS.indexOf(tier) - scored;
  return { difficulty, tier, confidence: Math.max(difficulty, 1 - difficulty), reasoning: reasoningOf(prompt.shape, scored, why, moved) };
}

/** What is thought of a prompt alone. */
export interface PromptJudgement {
  readonly shape: Shape;
  readonly difficulty: number;
  /** What was found in it that counts, in words. */
  readonly why: readonly string[];
}

/** Judges the text of a prompt: the score that `npm run eval:router` measures. */
export function judgePrompt(text: string): PromptJudgement {
  const judged = judgedPart(text);
  const features = featuresOf(judged);
  const shape = shapeOf(judged, features);
  if (shape !== 'open') return { shape, difficulty: fitted(WEIGHTS.shapes[shape], features), why: [] };
  const { points, why } = pointsOf(judged, features);
  return { shape, difficulty: logistic(WEIGHTS.open.bias + WEIGHTS.open.perPoint * points), why };
}

function fitted({ bias, weights }: Fit, features: Features): number {
  let sum = bias;
  for (const name of FEATURES) sum += (weights[name] ?? 0) * features[name];
  return logistic(sum);
}

function pointsOf(text: string, features: Features): { points: number; why: string[] } {
  const why: string[] = [];
  // Long requests, and those with many parts, are a little harder: this also tells those of equal cues apart.
  let points = Math.max(0, features.length - Math.log1p(SHORT_CHARACTERS)) * 0.2 + features.numbers * 0.1 + features.symbols * 0.1;
  for (const cue of CUES) {
    const found = times(cue.pattern, text, cue.most ?? 1);
    points += found * cue.points;
    if (found > 0) why.push(cue.words);
  }
  if (text.length <= SHORT_CHARACTERS && why.length === 0) points += SHORT_POINTS;
  return { points, why };
}

/** How many different finds there are, at most so many. */
function times(pattern: RegExp, text: string, most: number): number {
  if (most === 1) return pattern.test(text) ? 1 : 0;
  return Math.min(most, new Set(text.match(pattern)?.map((find) => find.toLowerCase())).size);
}

/** What stands beside the prompt: a long context, many turns, tools and images. */
function contextOf(request: InferenceRequest): { points: number; why: string[] } {
  const { turns, hasTools } = request.facts();
  const why: string[] = [];
  let points = 0;
  const add = (more: number, words: string): void => {
    points += more;
    why.push(words);
  };
  if (request.bodyBytes > 32_768) add(3, 'its context is very long');
  else if (request.bodyBytes > 8_192) add(2, 'its context is long');
  else if (request.bodyBytes > 2_048) points += 1;
  if (turns > 10) add(2, 'the conversation is long');
  else if (turns > 4) points += 1;
  if (hasTools) add(1, 'it may call tools');
  if (request.media.images > 0) add(1, 'it has images');
  return { points, why };
}

const COMPLEXITY = ['low', 'medium', 'high'];
const MOST_REASONS = 3;

/** @param moved by how many tiers the request's `quality` moved it: none where there was no such tier. */
function reasoningOf(shape: Shape, scored: number, why: readonly string[], moved: number): string {
  const [kind, rest] = kindOf(shape, scored, why);
  const because = why.length > 0 ? `: ${listed(why.slice(0, MOST_REASONS))}` : '';
  const asked = moved === 0 ? '' : `; the quality asked for moves it one tier ${moved > 0 ? 'up' : 'down'}`;
  return `${kind} of ${COMPLEXITY[scored]} complexity${rest}${because}${asked}`;
}

/** The words before its complexity, and those after. */
function kindOf(shape: Shape, scored: number, why: readonly string[]): [string, string] {
  if (shape === 'choices') return ['A question', ' with answers to choose from'];
  if (shape === 'story') return ['A calculation', ''];
  if (why.length > 0) return ['A request', ''];
  return [scored === 0 ? 'A simple request' : 'A long request', ''];
}

/** As a sentence has it: "a, b and c". */
function listed(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length <= 1 ? last : `${words.slice(0, -1).join(', ')} and ${last}`;
}

export function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function logitOf(chance: number): number {
  return Math.log(chance / (1 - chance));
}

/** The tiers to try for `tier`, best first: itself, then the cheaper ones, then the dearer ones. */
export function tiersFrom(tier: Tier): readonly Tier[] {
  const at = TIERS.indexOf(tier);
  return [...TIERS.slice(0, at + 1).toReversed(), ...TIERS.slice(at + 1)];
}
