/**
 * Betas of the API that a client of the same wire may ask for: its fields need them, and they make nothing dearer and name nothing stored.
 * By their names without the date: that changes from release to release. Any other is left out, and named: `context-1m` alone makes the
 * same request dearer, and the next one may too.
 */
const HARMLESS = [
  'advanced-tool-use|cache-diagnosis|claude-code|context-management|dev-full-thinking|effort|extended-cache-ttl|fine-grained-tool-streaming',
  'interleaved-thinking|mid-conversation-output-config|mid-conversation-system|mid-conversation-system-clear-at',
  'mid-conversation-tool-changes|model-context-window-exceeded|output-128k|output-300k|pdfs|per-turn-control|prompt-caching',
  'prompt-caching-scope|redact-thinking|search-results|structured-outputs|task-budgets|thinking-binding-controls|thinking-display-updates',
  'thinking-token-count|token-counting|token-efficient-tools|tool-examples|tool-search-tool',
].join('|');
const BETA = new RegExp(`^(?:${HARMLESS})-\\d{4}-?\\d{2}-?\\d{2}$`);
const SOUND = /^[a-z0-9-]{1,64}$/;
const MOST_BETAS = 64;

/** The names in a client's `anthropic-beta` header. */
export function readBetas(header: string | readonly string[] | undefined): string[] {
  const names = [header ?? []].flat().flatMap((line) => line.split(',', MOST_BETAS));
  return [...new Set(names.map((name) => name.trim()).filter((name) => SOUND.test(name)))].slice(0, MOST_BETAS);
}

export function isHarmlessBeta(name: string): boolean {
  return BETA.test(name);
}
