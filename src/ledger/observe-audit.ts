import type { Observe } from '../observation.ts';
import type { Violation } from './audit.ts';

/** Of one rule, in the log; `npm run audit` lists more. */
const EXAMPLES = 5;

/** Tells what an audit has found, whoever had it run: the counts, and each rule that is broken. */
export function observeAudit(observe: Observe, violations: readonly Violation[]): void {
  const counts = new Map(
    [...Map.groupBy(violations, ({ invariant }) => invariant)].map(([invariant, broken]) => [invariant, broken.length]),
  );
  observe({ kind: 'audit', violations: counts });
  for (const [rule, broken] of Map.groupBy(violations, (violation) => violation.rule)) {
    const [{ invariant } = { invariant: 0 }] = broken;
    observe({ kind: 'invariant_broken', invariant, rule, violations: broken.length, examples: broken.slice(0, EXAMPLES) });
  }
}
