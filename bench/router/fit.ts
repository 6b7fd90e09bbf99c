/**
 * `npm run fit:router -- outcomes.jsonl`: fits the weights of the router's score to outcomes and writes them, with how well they do on
 * prompts that were held out, to `src/routing/complexity-weights.json`.
 */
import { writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { judgePrompt, WEIGHTS_FILE } from '../../src/routing/complexity.ts';
import { apgr } from './apgr.ts';
import { exampleOf, fitShape, heldOutScores } from './fit-weights.ts';
import { groupsOf, outcomesOrExit } from './outcomes.ts';

/** Of open requests: set by hand, for there are no public outcomes of chats to fit to. */
const OPEN = { bias: -2, perPoint: 0.36 };
const SEEDS = [1, 2, 3, 4, 5];

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: npm run fit:router -- outcomes.jsonl');
  process.exit(2);
}
const { outcomes, sha256 } = outcomesOrExit(file);
const examples = outcomes.map(exampleOf);
const bySeed = SEEDS.map((seed) => {
  const scores = heldOutScores(examples, seed, ({ outcome }) => Math.log(judgePrompt(outcome.prompt).difficulty));
  const ranked = outcomes.map(({ set, weak, strong }, at) => ({ set, weak, strong, score: scores[at] ?? 0 }));
  return [...groupsOf(ranked, ({ set }) => set)].map(([set, prompts]) => ({ set, apgr: apgr(prompts) }));
});
const heldOut = [...groupsOf(bySeed.flat(), ({ set }) => set)].map(([set, all]) => {
  const mean = all.reduce((sum, one) => sum + one.apgr, 0) / all.length;
  return [set, Math.round(mean * 1000) / 1000] as const;
});
const weights = {
  madeBy: 'npm run fit:router -- outcomes.jsonl',
  outcomesSha256: sha256,
  prompts: outcomes.length,
  /** APGR on prompts of subjects that were not fitted to. */
  heldOut: Object.fromEntries(heldOut),
  shapes: { story: fitShape('story', examples), choices: fitShape('choices', examples) },
  open: OPEN,
};
const options = await resolveConfig(WEIGHTS_FILE.pathname);
writeFileSync(WEIGHTS_FILE, await format(JSON.stringify(weights), { ...options, parser: 'json' }));
console.log(`held out by subject, mean of ${SEEDS.length} divisions (seeds ${SEEDS.join(', ')}):`);
for (const [set, value] of heldOut) console.log(`  ${set.padEnd(12)} ${value.toFixed(3)}`);
