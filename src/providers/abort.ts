/**
 * Ends something that goes on, an exchange with a provider for one: once. In place of an AbortController, whose making and listening cost
 * several times as much as the rest of an exchange's bookkeeping, and which is seldom used.
 */
export class Abort {
  aborted = false;
  /** Told at that moment; undefined: nobody. One at a time. */
  onAbort: (() => void) | undefined;

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    this.onAbort?.();
  }
}
