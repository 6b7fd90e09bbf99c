/** The monotonic time, and what is to happen once some of it has passed. */
export interface Timer {
  /** In milliseconds. */
  now(): number;
  /** Calls back once; what it returns calls that off. */
  after(ms: number, callback: () => void): () => void;
}

/**
 * The process's own. Where the process was busy when the time ran out, what has arrived meanwhile is read first: the silence was not the
 * other side's.
 */
export const TIMER: Timer = {
  now: () => performance.now(),
  after(ms, callback) {
    let read: NodeJS.Immediate | undefined;
    const timeout = setTimeout(() => (read = setImmediate(callback)), ms);
    return () => {
      clearTimeout(timeout);
      clearImmediate(read);
    };
  },
};
