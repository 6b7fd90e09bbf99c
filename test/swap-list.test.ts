import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SwapList, type Listed } from '../src/swap-list.ts';

interface Named extends Listed {
  name: number;
}

describe('a swap list', () => {
  it('has those who came and did not leave, whatever the order', () => {
    const moves = fc.array(fc.record({ name: fc.nat(20), come: fc.boolean() }), { maxLength: 200 });
    fc.assert(
      fc.property(moves, (all) => {
        const everybody = Array.from({ length: 21 }, (_, name): Named => ({ name, place: -1 }));
        const swapList = new SwapList<Named>();
        const model = new Set<Named>();
        for (const { name, come } of all) {
          const entry = everybody[name];
          if (!entry) continue;
          if (!come) {
            swapList.delete(entry);
            model.delete(entry);
          } else if (!swapList.has(entry)) {
            swapList.add(entry);
            model.add(entry);
          }
          expect(swapList.size).toBe(model.size);
        }
        const names = (entries: Iterable<Named>) => [...entries].map(({ name }) => name).toSorted((a, b) => a - b);
        expect(names(swapList)).toEqual(names(model));
        expect(everybody.map((entry) => swapList.has(entry))).toEqual(everybody.map((entry) => model.has(entry)));
      }),
    );
  });

  it('goes through those who were on it at the start, although they leave meanwhile', () => {
    const swapList = new SwapList<Named>();
    for (let name = 0; name < 3; name++) swapList.add({ name, place: -1 });
    const seen: number[] = [];
    for (const entry of swapList) {
      seen.push(entry.name);
      swapList.delete(entry);
    }
    expect(seen).toEqual([0, 1, 2]);
    expect(swapList.size).toBe(0);
  });
});
