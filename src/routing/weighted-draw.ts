/**
 * Puts things into an order by chance: each next one is drawn in proportion to its weight among those that are left. What weighs nothing comes
 * last, as it stood. Draws nothing where there is nothing to decide, so that the same chance serves what is decided after.
 */
export function weightedDraw<T>(things: readonly T[], weightOf: (thing: T) => number, random: () => number): T[] {
  const left = things.filter((thing) => weightOf(thing) > 0);
  const drawn: T[] = [];
  while (left.length > 1) {
    let at = random() * left.reduce((sum, thing) => sum + weightOf(thing), 0);
    const found = left.findIndex((thing) => (at -= weightOf(thing)) < 0);
    // Sums of fractions may fall short by a little.
    drawn.push(...left.splice(found === -1 ? left.length - 1 : found, 1));
  }
  return [...drawn, ...left, ...things.filter((thing) => !(weightOf(thing) > 0))];
}
