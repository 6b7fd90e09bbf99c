/** A call took longer than it may. Its outcome is unknown. */
export class DeadlineError extends Error {
  override name = 'DeadlineError';
}

/**
 * The outcome of `call`. Rejects with DeadlineError after `limitMs`; the call then goes on and its outcome is
 * ignored.
 */
export async function withDeadline<T>(call: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(`no answer within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}
