import type { Logger } from '../log.ts';
import type { Observation, Observe } from '../observation.ts';

/** Who tells what has happened to all that listen. A reader that fails is told of once, and hurts neither what is observed nor the others. */
export function fanOut(readers: readonly Observe[], log: Logger): Observe {
  const failed = new Set<Observe>();
  const told = (reader: Observe, { kind }: Observation, error: unknown): void => {
    if (failed.has(reader)) return;
    failed.add(reader);
    log.error({ err: error, kind }, 'an observation could not be read: this is told once');
  };
  return (observation) => {
    for (const reader of readers) {
      try {
        reader(observation);
      } catch (error) {
        told(reader, observation, error);
      }
    }
  };
}
