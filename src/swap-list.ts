/** What can be on a roster: it knows its place there. On one roster at a time. */
export interface Enrolled {
  /** The roster's alone to change; -1: on none. */
  place: number;
}

/**
 * Things that come and go, thousands a second, in no order. In place of a Set or Map: those of V8 move to a new table every so many
 * changes, and each old table points to the next. Once one of them has grown old, all that come after it outlive the collector's quick
 * rounds too, with everything they ever held: an eighth of all that the gateway allocates.
 */
export class Roster<Entry extends Enrolled> {
  readonly #entries: Entry[] = [];

  get size(): number {
    return this.#entries.length;
  }

  add(entry: Entry): void {
    entry.place = this.#entries.push(entry) - 1;
  }

  /** Without effect on what is not on it. */
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

  /** Those on it now; who comes or goes meanwhile changes nothing. */
  [Symbol.iterator](): IterableIterator<Entry> {
    return this.#entries.slice().values();
  }
}
