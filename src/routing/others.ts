interface Seen {
  readonly accountId: string;
  readonly at: number;
}

/** When an account other than a given one was there last: for that, the last one and the last other one are enough. */
export class Others {
  #last: Seen | undefined;
  #otherLast: Seen | undefined;

  note(accountId: string): void {
    if (this.#last?.accountId !== accountId) this.#otherLast = this.#last;
    this.#last = { accountId, at: Date.now() };
  }

  /** Whether another one was there within so many milliseconds. */
  within(accountId: string, ms: number): boolean {
    const other = this.#last?.accountId === accountId ? this.#otherLast : this.#last;
    return other !== undefined && Date.now() - other.at < ms;
  }
}
