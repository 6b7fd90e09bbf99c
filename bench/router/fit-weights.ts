import { FEATURES, featuresOf, judgedPart, shapeOf, type Shape } from '../../src/routing/complexity-features.ts';
import { seeded, type Outcome } from './outcomes.ts';

type FittedShape = Exclude<Shape, 'open'>;

/** A prompt as its weights see it. */
export interface Example {
  readonly outcome: Outcome;
  readonly shape: Shape;
  readonly features: readonly number[];
}

export interface Fit {
  readonly bias: number;
  readonly weights: Readonly<Record<string, number>>;
}

/** How strongly the weights are drawn to 0, by the number of standardised examples that it stands for. */
const RIDGE: Record<FittedShape, number> = { story: 60, choices: 300 };
/** One subject of 895 prompts that are all alike must not outweigh the other 28. */
const MOST_OF_A_DOMAIN = 300;
const FOLDS = 7;

export function exampleOf(outcome: Outcome): Example {
  const text = judgedPart(outcome.prompt);
  const features = featuresOf(text);
  return { outcome, shape: shapeOf(text, features), features: FEATURES.map((name) => features[name]) };
}

/**
 * Fits the weights of one kind of prompt. For calculations they rank by what the strong model gains; for questions with answers to choose from,
 * where that gain is mostly chance, by whether the weak model fails, which carries over to other subjects better. In the end both are put
 * on one scale: the chance that the strong model's answer is the better one.
 */
export function fitShape(shape: FittedShape, examples: readonly Example[]): Fit {
  const own = examples.filter((example) => example.shape === shape);
  const target = ({ weak, strong }: Outcome) => (shape === 'story' ? strong - weak : 1 - weak);
  const { means, deviations } = scaleOf(own);
  const rows = own.map(({ features }) => [1, ...features.map((value, at) => (value - (means[at] ?? 0)) / (deviations[at] ?? 1))]);
  const solved = ridge(
    rows,
    own.map(({ outcome }) => target(outcome)),
    weightsOf(own),
    RIDGE[shape],
  );
  const ranks = rows.map((row) => dot(row, solved));
  const { bias, slope } = platt(
    ranks,
    own.map(({ outcome }) => (outcome.strong > outcome.weak ? 1 : 0)),
  );
  const raw = FEATURES.map((_, at) => (slope * (solved[at + 1] ?? 0)) / (deviations[at] ?? 1));
  const shifted = bias + slope * (solved[0] ?? 0) - raw.reduce((sum, weight, at) => sum + weight * (means[at] ?? 0), 0);
  return { bias: rounded(shifted), weights: Object.fromEntries(FEATURES.map((name, at) => [name, rounded(raw[at] ?? 0)])) };
}

/** The difficulty by fitted weights, on the scale of their logit: it ranks. */
export function scoreBy({ bias, weights }: Fit, { features }: Example): number {
  return FEATURES.reduce((sum, name, at) => sum + (weights[name] ?? 0) * (features[at] ?? 0), bias);
}

/** Which fold each example is held out in: whole domains where there are several, else by chance. */
export function foldsOf(examples: readonly Example[], seed: number): number[] {
  const random = seeded(seed);
  const domains = [...new Set(examples.map(({ outcome }) => `${outcome.set}/${outcome.domain ?? ''}`))];
  const several = new Set(
    examples.map(({ outcome }) => outcome.set).filter((set) => domains.filter((name) => name.startsWith(`${set}/`)).length > 1),
  );
  const order = domains.map((name) => ({ name, at: random() })).toSorted((a, b) => a.at - b.at);
  const foldOfDomain = new Map(order.map(({ name }, at) => [name, at % FOLDS]));
  return examples.map(({ outcome }) =>
    several.has(outcome.set) ? (foldOfDomain.get(`${outcome.set}/${outcome.domain ?? ''}`) ?? 0) : Math.floor(random() * FOLDS),
  );
}

/** The scores of examples by weights that were fitted without their fold. Those of no fitted kind have what `otherwise` says. */
export function heldOutScores(examples: readonly Example[], seed: number, otherwise: (example: Example) => number): number[] {
  const folds = foldsOf(examples, seed);
  const scores: number[] = [];
  for (let fold = 0; fold < FOLDS; fold++) {
    const rest = examples.filter((_, at) => folds[at] !== fold);
    const fits = { story: fitShape('story', rest), choices: fitShape('choices', rest) };
    for (const [at, example] of examples.entries()) {
      if (folds[at] === fold) scores[at] = example.shape === 'open' ? otherwise(example) : scoreBy(fits[example.shape], example);
    }
  }
  return scores;
}

function weightsOf(examples: readonly Example[]): number[] {
  const counts = new Map<string, number>();
  const nameOf = ({ outcome }: Example) => `${outcome.set}/${outcome.domain ?? ''}`;
  for (const example of examples) counts.set(nameOf(example), (counts.get(nameOf(example)) ?? 0) + 1);
  const isOne = counts.size === 1;
  return examples.map((example) => (isOne ? 1 : Math.min(1, MOST_OF_A_DOMAIN / (counts.get(nameOf(example)) ?? 1))));
}

function scaleOf(examples: readonly Example[]): { means: number[]; deviations: number[] } {
  const count = Math.max(1, examples.length);
  const means = FEATURES.map((_, at) => examples.reduce((sum, { features }) => sum + (features[at] ?? 0), 0) / count);
  const deviations = means.map((mean, at) => {
    const variance = examples.reduce((sum, { features }) => sum + ((features[at] ?? 0) - mean) ** 2, 0) / count;
    return variance > 1e-9 ? Math.sqrt(variance) : 1;
  });
  return { means, deviations };
}

/** Weighted least squares with a penalty on all weights but the first: solved by elimination, for the matrix is small and definite. */
function ridge(rows: readonly number[][], targets: readonly number[], weights: readonly number[], penalty: number): number[] {
  const size = FEATURES.length + 1;
  const matrix = Array.from({ length: size }, (_, a) =>
    Array.from({ length: size }, (__, b) => (a === b && a > 0 ? penalty : a === b ? 1e-9 : 0)),
  );
  const right = Array.from({ length: size }, () => 0);
  for (const [at, row] of rows.entries()) {
    const weight = weights[at] ?? 1;
    for (let a = 0; a < size; a++) {
      const left = (row[a] ?? 0) * weight;
      right[a] = (right[a] ?? 0) + left * (targets[at] ?? 0);
      const line = matrix[a] as number[];
      for (let b = 0; b < size; b++) line[b] = (line[b] ?? 0) + left * (row[b] ?? 0);
    }
  }
  return solve(matrix, right);
}

function solve(matrix: number[][], right: number[]): number[] {
  const size = right.length;
  for (let a = 0; a < size; a++) {
    const pivot = matrix[a] as number[];
    for (let b = a + 1; b < size; b++) {
      const line = matrix[b] as number[];
      const factor = (line[a] ?? 0) / (pivot[a] ?? 1);
      for (let c = a; c < size; c++) line[c] = (line[c] ?? 0) - factor * (pivot[c] ?? 0);
      right[b] = (right[b] ?? 0) - factor * (right[a] ?? 0);
    }
  }
  const solved = Array.from({ length: size }, () => 0);
  for (let a = size - 1; a >= 0; a--) {
    const line = matrix[a] as number[];
    let rest = right[a] ?? 0;
    for (let b = a + 1; b < size; b++) rest -= (line[b] ?? 0) * (solved[b] ?? 0);
    solved[a] = rest / (line[a] ?? 1);
  }
  return solved;
}

/** A chance from a rank, by a logistic curve (Platt, 1999), found by Newton's method. */
function platt(ranks: readonly number[], events: readonly number[]): { bias: number; slope: number } {
  let bias = 0;
  let slope = 1;
  for (let step = 0; step < 50; step++) {
    const sums = { bias: 0, slope: 0, bb: 1e-9, bs: 0, ss: 1e-9 };
    for (const [at, rank] of ranks.entries()) {
      const chance = 1 / (1 + Math.exp(-(bias + slope * rank)));
      const error = (events[at] ?? 0) - chance;
      const spread = chance * (1 - chance);
      sums.bias += error;
      sums.slope += error * rank;
      sums.bb += spread;
      sums.bs += spread * rank;
      sums.ss += spread * rank * rank;
    }
    const determinant = sums.bb * sums.ss - sums.bs ** 2;
    bias += (sums.bias * sums.ss - sums.slope * sums.bs) / determinant;
    slope += (sums.slope * sums.bb - sums.bias * sums.bs) / determinant;
  }
  return { bias, slope };
}

function dot(row: readonly number[], weights: readonly number[]): number {
  return row.reduce((sum, value, at) => sum + value * (weights[at] ?? 0), 0);
}

function rounded(weight: number): number {
  return Math.round(weight * 1e5) / 1e5;
}
