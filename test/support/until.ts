/** Ends what hangs. No test may rely on anything to be faster: how busy the machine is, nobody knows. */
const PATIENCE_MS = 60_000;

/** Resolves with the first answer of `probe` that is neither false nor undefined nor null; rejects after `timeoutMs`. */
export async function until<T>(probe: () => T | Promise<T>, timeoutMs = PATIENCE_MS): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await probe();
    if (answer !== false && answer !== undefined && answer !== null) return answer as NonNullable<Exclude<T, false>>;
    if (performance.now() > deadline) throw new Error(`it did not come true within ${timeoutMs} ms: ${String(probe)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
