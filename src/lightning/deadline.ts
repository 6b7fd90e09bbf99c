/** A call that took longer than it may. What it does in the end is unknown. */
export class DeadlineError extends Error {
  override name = 'DeadlineError';
}

/** The outcome of `call`, or a rejection with DeadlineError after `limitMs`; the call itself goes on and its outcome is ignored then. */
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
