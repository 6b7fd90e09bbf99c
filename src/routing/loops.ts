/** Enough of an answer's end to tell a loop by. */
const LOOKED_AT = 4_096;
/** Shorter texts repeat themselves by chance, and tables by their nature. */
const LEAST_CHARACTERS = 240;
const WINDOW = 12;
/** In a text of any language nearly every stretch of 12 characters is new; in tables, lists and code more than half of them are. */
const LEAST_DISTINCT = 0.3;

/** Whether a text has ended in saying the same again and again. */
export function isLoop(text: string): boolean {
  const end = text.slice(-LOOKED_AT);
  if (end.length < LEAST_CHARACTERS) return false;
  return distinctShare(end) < LEAST_DISTINCT || distinctShare(end.slice(-LOOKED_AT / 4)) < LEAST_DISTINCT / 2;
}

function distinctShare(text: string): number {
  const count = text.length - WINDOW + 1;
  const windows = new Set<string>();
  for (let at = 0; at < count; at++) windows.add(text.slice(at, at + WINDOW));
  return windows.size / count;
}
