/**
 * `npm run eval:router -- outcomes.jsonl [--cross-validate] [--seed N]`: how well the router's score ranks prompts, by the gap between a weak and a
 * strong model that it recovers (APGR), beside what the prompt's length, chance and an oracle recover.
 */
import { parseArgs } from 'node:util';
import { judgePrompt } from '../../src/routing/complexity.ts';
import { apgr, interval, tiesOf, type Ranked } from './apgr.ts';
import { exampleOf, heldOutScores } from './fit-weights.ts';
import { groupsOf, outcomesOrExit, type Outcome } from './outcomes.ts';

const DRAWS = 1_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'cross-validate': { type: 'boolean', default: false }, seed: { type: 'string', default: '1' } },
});
const [file] = positionals;
const seed = Number(values.seed);
if (file === undefined || positionals.length > 1 || !Number.isSafeInteger(seed)) {
  console.error('usage: npm run eval:router -- outcomes.jsonl [--cross-validate] [--seed N]');
  process.exit(2);
}

const { outcomes } = outcomesOrExit(file);
const startedAt = performance.now();
const judged = outcomes.map(({ prompt }) => judgePrompt(prompt));
const microseconds = ((performance.now() - startedAt) * 1000) / Math.max(1, outcomes.length);
const scores = values['cross-validate']
  ? heldOutScores(outcomes.map(exampleOf), seed, ({ outcome }) => Math.log(judgePrompt(outcome.prompt).difficulty))
  : judged.map(({ difficulty }) => difficulty);

const rows = outcomes.map((outcome, at) => ({ ...outcome, score: scores[at] ?? 0 }));
console.log(
  values['cross-validate'] ? `weights fitted without the prompts' own fold (whole domains; seed ${seed})` : 'weights as they are in use',
);
console.log('set            prompts  APGR   95 % interval   ties    length  chance  oracle');
for (const [set, prompts] of groupsOf(rows, (row) => row.set)) {
  const [low, high] = interval(prompts, { draws: DRAWS, seed });
  const by = (scoreOf: (outcome: Outcome) => number) => apgr(prompts.map((row): Ranked => ({ ...row, score: scoreOf(row) })));
  const columns = [
    set.padEnd(14),
    String(prompts.length).padStart(7),
    ` ${apgr(prompts).toFixed(3)}`,
    `[${low.toFixed(3)}, ${high.toFixed(3)}]`,
    `${(tiesOf(prompts) * 100).toFixed(1)} %`.padStart(6),
    ` ${by(({ prompt }) => prompt.length).toFixed(3)}`,
    ` ${by(() => 0).toFixed(3)}`,
    ` ${by(({ weak, strong }) => strong - weak).toFixed(3)}`,
  ];
  console.log(columns.join('  '));
}
console.log(`bootstrap of ${DRAWS} draws, seed ${seed}; ${microseconds.toFixed(1)} µs a prompt`);
