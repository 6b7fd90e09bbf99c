import { setTimeout as delay } from 'node:timers/promises';
import type { Observe } from '../observation.ts';

export interface Job {
  /** Runs the work now instead of at the end of the current pause. */
  wake(): void;
  /** Ends the job; resolves once a run that is under way has ended. */
  stop(): Promise<void>;
}

/**
 * Runs `work` at once and then `intervalMs` after each run has ended, so that runs never overlap. A run that fails is told of and
 * the next one comes as usual. `work` gets a signal that aborts on `stop`.
 */
export function every(intervalMs: number, name: string, work: (signal: AbortSignal) => Promise<void>, observe?: Observe): Job {
  const stopped = new AbortController();
  let pause = new AbortController();

  const run = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      pause = new AbortController();
      try {
        await work(stopped.signal);
      } catch (error) {
        if (!stopped.signal.aborted) observe?.({ kind: 'job_failed', err: error, job: name });
      }
      const either = AbortSignal.any([stopped.signal, pause.signal]);
      await delay(intervalMs, undefined, { signal: either }).catch(() => {});
    }
  };
  const running = run();

  return {
    wake: () => pause.abort(),
    stop: async () => {
      stopped.abort();
      await running;
    },
  };
}
