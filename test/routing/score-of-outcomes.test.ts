import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { apgr, tiesOf } from '../../bench/router/apgr.ts';
import { exampleOf, fitShape, foldsOf, heldOutScores, scoreBy } from '../../bench/router/fit-weights.ts';
import { readOutcomes } from '../../bench/router/outcomes.ts';
import { judgePrompt, WEIGHTS_FILE } from '../../src/routing/complexity.ts';

const FILE = fileURLToPath(new URL('../../../shared/router-eval/outcomes.jsonl', import.meta.url));
const whereShared = existsSync(FILE) ? describe : describe.skip;
if (!existsSync(FILE)) console.warn(`skipped: the recorded outcomes are not at ${FILE}`);

describe('the average performance gap recovered', () => {
  const prompts = [
    { weak: 0, strong: 1, score: 3 },
    { weak: 1, strong: 1, score: 2 },
    { weak: 0, strong: 1, score: 1 },
    { weak: 1, strong: 1, score: 0 },
  ];

  it('is the area under the gains', () => {
    // Shares of the gap won after 0 to 4 prompts: 0, 1/2, 1/2, 1, 1.
    expect(apgr(prompts)).toBeCloseTo((0.25 + 0.5 + 0.75 + 1) / 4, 12);
  });

  it('is a half where all prompts are tied, whatever their order', () => {
    const tied = prompts.map((prompt) => ({ ...prompt, score: 7 }));
    expect(apgr(tied)).toBeCloseTo(0.5, 12);
    expect(apgr(tied.toReversed())).toBeCloseTo(0.5, 12);
    expect(tiesOf(tied)).toBe(1);
    expect(tiesOf(prompts)).toBe(0);
  });

  it('is mirrored by the opposite score', () => {
    const opposite = prompts.map((prompt) => ({ ...prompt, score: -prompt.score }));
    expect(apgr(prompts) + apgr(opposite)).toBeCloseTo(1, 12);
  });
});

whereShared('the score, by recorded outcomes', () => {
  const { outcomes, sha256 } = existsSync(FILE) ? readOutcomes(FILE) : { outcomes: [], sha256: '' };
  const examples = outcomes.map(exampleOf);
  const weights = JSON.parse(readFileSync(WEIGHTS_FILE, 'utf8')) as {
    outcomesSha256: string;
    heldOut: Record<string, number>;
    shapes: Record<'story' | 'choices', ReturnType<typeof fitShape>>;
  };
  const apgrOf = (set: string, scores: readonly number[]) =>
    apgr(outcomes.map(({ weak, strong }, at) => ({ weak, strong, score: scores[at] ?? 0 })).filter((_, at) => outcomes[at]?.set === set));

  it('is what fitting to them comes to', () => {
    expect(weights.outcomesSha256).toBe(sha256);
    expect(weights.shapes).toEqual({ story: fitShape('story', examples), choices: fitShape('choices', examples) });
    const example = examples.find(({ shape }) => shape === 'story');
    if (!example) throw new Error('no calculation among the outcomes');
    const { difficulty } = judgePrompt(example.outcome.prompt);
    expect(Math.log(difficulty / (1 - difficulty))).toBeCloseTo(scoreBy(weights.shapes.story, example), 9);
  });

  it('ranks prompts of subjects that were held out', () => {
    const scores = heldOutScores(examples, 1, ({ outcome }) => Math.log(judgePrompt(outcome.prompt).difficulty));
    expect(apgrOf('gsm8k', scores)).toBeGreaterThan(0.6);
    expect(apgrOf('mmlu', scores)).toBeGreaterThan(0.58);
    expect(weights.heldOut['gsm8k']).toBeGreaterThan(0.6);
    expect(weights.heldOut['mmlu']).toBeGreaterThan(0.58);
  });

  it('holds out whole subjects', () => {
    const folds = new Map<string, Set<number>>();
    for (const [at, fold] of foldsOf(examples, 3).entries()) {
      const { set = '', domain = '' } = outcomes[at] ?? {};
      if (set !== 'gsm8k') folds.set(domain, (folds.get(domain) ?? new Set()).add(fold));
    }
    expect([...folds.values()].every(({ size }) => size === 1)).toBe(true);
    expect(folds.size).toBe(29);
  });

  it('is calibrated: of the prompts with a difficulty about so many are answered better by the strong model', () => {
    const judged = outcomes.map((outcome) => ({ ...outcome, difficulty: judgePrompt(outcome.prompt).difficulty }));
    const ordered = judged.toSorted((a, b) => a.difficulty - b.difficulty);
    const tenths = Array.from({ length: 10 }, (_, at) => ordered.slice((at * ordered.length) / 10, ((at + 1) * ordered.length) / 10));
    for (const tenth of tenths) {
      const expected = tenth.reduce((sum, { difficulty }) => sum + difficulty, 0) / tenth.length;
      const seen = tenth.filter(({ weak, strong }) => strong > weak).length / tenth.length;
      expect(Math.abs(expected - seen)).toBeLessThan(0.08);
    }
  });
});
