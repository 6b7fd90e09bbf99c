import { TIMER } from '../timer.ts';

/** A call took longer than it may. Its outcome is unknown. */
export class DeadlineError extends Error {
  override name = 'DeadlineError';
}

/**
 * The outcome of `call`. Rejects with DeadlineError after `limitMs`; the call then goes on and its outcome is
 * ignored.
 */
export async function withDeadline<T>(call: Promise<T>, limitMs: number): Promise<T> {
  let answered: (() => void) | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    answered = TIMER.after(limitMs, () => reject(new DeadlineError(`no answer within ${limitMs} ms`)));
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    answered?.();
  }
}
