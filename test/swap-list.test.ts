import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Roster, type Enrolled } from '../src/swap-list.ts';

interface Named extends Enrolled {
  name: number;
}

describe('a roster', () => {
  it('has those who came and did not leave, whatever the order', () => {
    const moves = fc.array(fc.record({ name: fc.nat(20), come: fc.boolean() }), { maxLength: 200 });
    fc.assert(
      fc.property(moves, (all) => {
        const everybody = Array.from({ length: 21 }, (_, name): Named => ({ name, place: -1 }));
        const roster = new Roster<Named>();
        const model = new Set<Named>();
        for (const { name, come } of all) {
          const entry = everybody[name];
          if (!entry) continue;
          if (!come) {
            roster.delete(entry);
            model.delete(entry);
          } else if (!roster.has(entry)) {
            roster.add(entry);
            model.add(entry);
          }
          expect(roster.size).toBe(model.size);
        }
        const names = (entries: Iterable<Named>) => [...entries].map(({ name }) => name).toSorted((a, b) => a - b);
        expect(names(roster)).toEqual(names(model));
        expect(everybody.map((entry) => roster.has(entry))).toEqual(everybody.map((entry) => model.has(entry)));
      }),
    );
  });

  it('goes through those who were on it at the start, although they leave meanwhile', () => {
    const roster = new Roster<Named>();
    for (let name = 0; name < 3; name++) roster.add({ name, place: -1 });
    const seen: number[] = [];
    for (const entry of roster) {
      seen.push(entry.name);
      roster.delete(entry);
    }
    expect(seen).toEqual([0, 1, 2]);
    expect(roster.size).toBe(0);
  });
});
