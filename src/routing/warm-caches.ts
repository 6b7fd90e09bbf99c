import { createHash } from 'node:crypto';
import type { InferenceRequest } from '../wires/request.ts';
import { promptTokensOf, type Usage } from '../wires/usage.ts';

const MOST_CONVERSATIONS = 20_000;
/** Since the last answer: what providers keep a cached prompt for, at least. */
const KEPT_MS = 5 * 60_000;
const KEPT_LONG_MS = 60 * 60_000;
/** No provider caches shorter prompts. */
const LEAST_PROMPT_TOKENS = 1_024;
/** Enough of each text to know a conversation by; bounds the work for long ones. */
const READ_CHARACTERS = 16_384;

/** An answer that was delivered whole. */
export interface CachingAnswer {
  readonly deploymentId: string;
  readonly usage: Usage;
  /** Whether something was asked to be cached for an hour. */
  readonly cachesLong: boolean;
}

interface Warm {
  readonly deploymentId: string;
  /** On the monotonic clock. */
  readonly until: number;
}

/**
 * Which deployment has a conversation's prompt in its cache, so that the next turn goes there: a cached prompt is read at a fraction of its
 * price, and sooner. A conversation is known by the client's own cache key, else by its instructions and its first message; only a hash of
 * them is kept. It is a guess that costs nothing where it is wrong, so each gateway has its own, in memory, for the 20,000 conversations
 * answered last.
 */
export class WarmCaches {
  /** The one answered longest ago comes first. */
  readonly #warm = new Map<string, Warm>();
  readonly #now: () => number;
  readonly #most: number;

  /** @param now the monotonic clock. */
  constructor({ now = () => performance.now(), most = MOST_CONVERSATIONS }: { now?: () => number; most?: number } = {}) {
    this.#now = now;
    this.#most = most;
  }

  /** The id of the deployment that has the conversation of an account's request in its cache; null where none is known to. */
  warmFor(accountId: string, request: InferenceRequest): string | null {
    if (this.#warm.size === 0 || request.operation !== 'generate') return null;
    return this.#live(nameOf(accountId, request).name)?.deploymentId ?? null;
  }

  /**
   * Notes who answered. Where turns of one conversation run side by side, the deployment that was first to answer keeps it, so that it does
   * not move to and fro. A prompt too short to be cached is not noted: its next turn may go wherever there is room.
   */
  answered(accountId: string, request: InferenceRequest, { deploymentId, usage, cachesLong }: CachingAnswer): void {
    if (request.operation !== 'generate') return;
    const { name, hasOwnKey } = nameOf(accountId, request);
    if (!hasOwnKey && !isCached(usage)) return;
    const before = this.#live(name);
    if (before && before.deploymentId !== deploymentId) return;
    const until = Math.max(before?.until ?? 0, this.#now() + (cachesLong ? KEPT_LONG_MS : KEPT_MS));
    this.#warm.delete(name);
    this.#warm.set(name, { deploymentId, until });
    const [oldest] = this.#warm.keys();
    if (this.#warm.size > this.#most && oldest !== undefined) this.#warm.delete(oldest);
  }

  /** Forgets where the conversation is cached if that deployment is among those that gave no answer. */
  failed(accountId: string, request: InferenceRequest, deploymentIds: readonly string[]): void {
    if (deploymentIds.length === 0 || this.#warm.size === 0 || request.operation !== 'generate') return;
    const { name } = nameOf(accountId, request);
    const warm = this.#warm.get(name);
    if (warm && deploymentIds.includes(warm.deploymentId)) this.#warm.delete(name);
  }

  #live(name: string): Warm | undefined {
    const warm = this.#warm.get(name);
    if (!warm || warm.until > this.#now()) return warm;
    this.#warm.delete(name);
    return undefined;
  }
}

/** Long enough for a cache, or served from one. */
function isCached(usage: Usage): boolean {
  return promptTokensOf(usage) >= LEAST_PROMPT_TOKENS || usage.cacheRead + usage.cacheWrite + usage.cacheWriteLong > 0;
}

/** A conversation's name: of one account's, and of the model that it asks for. */
function nameOf(accountId: string, request: InferenceRequest): { name: string; hasOwnKey: boolean } {
  const { cacheKey, system, opening } = request.facts();
  const hasOwnKey = cacheKey !== null;
  const parts = [accountId, request.model, ...(hasOwnKey ? [cacheKey] : [system, opening])];
  const hash = createHash('sha1');
  // The lengths keep one part's end from being taken for the next one's beginning.
  for (const part of [hasOwnKey ? 'key' : 'texts', ...parts]) hash.update(`${part.length}:`).update(part.slice(0, READ_CHARACTERS));
  return { name: hash.digest('base64'), hasOwnKey };
}
