/** What can be in a swap list: an entry knows its place in the list. An entry is in one list at a time. */
export interface Listed {
  /** Only the list changes this. -1: in no list. */
  place: number;
}

/**
 * Things that come and go, thousands a second, in no order: the last entry takes the place of one that leaves.
 * Used in place of a Set or Map. V8 moves those to a new table every so many changes, and each old table points to the
 * next. Once one table has grown old, all later ones survive the collector's quick rounds too, with everything they
 * ever held: an eighth of all that the gateway allocates.
 */
export class SwapList<Entry extends Listed> {
  readonly #entries: Entry[] = [];

  get size(): number {
    return this.#entries.length;
  }

  add(entry: Entry): void {
    entry.place = this.#entries.push(entry) - 1;
  }

  /** Does nothing if the entry is not in the list. */
  delete(entry: Entry): void {
    if (!this.has(entry)) return;
    const last = this.#entries.pop();
    if (last !== undefined && last !== entry) {
      last.place = entry.place;
      this.#entries[entry.place] = last;
    }
    entry.place = -1;
  }

  has(entry: Entry): boolean {
    return this.#entries[entry.place] === entry;
  }

  /** The entries of this moment; later changes do not reach the iteration. */
  [Symbol.iterator](): IterableIterator<Entry> {
    return this.#entries.slice().values();
  }
}
