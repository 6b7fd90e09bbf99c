import type { ApiKey } from './api-key.ts';

interface Entry {
  key: ApiKey;
  /** When its row was asked for. */
  readAt: number;
}

export interface KeyCacheOptions {
  /** A cached key is used for this long. */
  lifetimeMs: number;
  missLifetimeMs: number;
  maxKeys: number;
  maxMisses: number;
  /** A monotonic clock in milliseconds. */
  now: () => number;
}

/**
 * The keys that this process looked up lately, and the secrets that turned out to be unknown, by a digest of
 * the secret. Both lists are bounded: the oldest entries leave first.
 */
export class KeyCache {
  readonly #options: KeyCacheOptions;
  readonly #keys = new Map<string, Entry>();
  readonly #misses = new Map<string, number>();
  /**
   * The digests of a key, so that it can be forgotten by its id: of its secret, and of the tokens that stand
   * for it.
   */
  readonly #digests = new Map<string, Set<string>>();
  /** Grows whenever something is forgotten: a row that was read before that must not be remembered after it. */
  epoch = 0;

  constructor(options: KeyCacheOptions) {
    this.#options = options;
  }

  /** The key; `null` for a secret that is known to be unknown; `undefined` if the database must be asked. */
  get(digest: string): ApiKey | null | undefined {
    const now = this.#options.now();
    const entry = this.#keys.get(digest);
    if (entry && now - entry.readAt < this.#options.lifetimeMs) return entry.key;
    const missedAt = this.#misses.get(digest);
    return missedAt !== undefined && now - missedAt < this.#options.missLifetimeMs ? null : undefined;
  }

  /** Whether the secret belonged to a key when it was last looked up, however long ago. */
  knows(digest: string): boolean {
    return this.#keys.has(digest);
  }

  /** Remembers a key whose row was asked for at `readAt`, unless anything was forgotten since `epoch`. */
  keep(digest: string, key: ApiKey, readAt: number, epoch: number): void {
    if (epoch !== this.epoch) return;
    this.#remove(digest);
    this.#keys.set(digest, { key, readAt });
    this.#digests.set(key.id, (this.#digests.get(key.id) ?? new Set()).add(digest));
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size <= this.#options.maxKeys) break;
      this.#remove(oldest);
    }
  }

  /** Remembers that no key has this secret. */
  keepMiss(digest: string): void {
    this.#remove(digest);
    this.#misses.delete(digest);
    this.#misses.set(digest, this.#options.now());
    for (const oldest of this.#misses.keys()) {
      if (this.#misses.size <= this.#options.maxMisses) break;
      this.#misses.delete(oldest);
    }
  }

  /** Forgets a key that has changed. */
  forget(keyId: string): void {
    this.epoch++;
    for (const digest of [...(this.#digests.get(keyId) ?? [])]) this.#remove(digest);
  }

  /** Forgets all keys: changes may have been missed. */
  clear(): void {
    this.epoch++;
    this.#keys.clear();
    this.#digests.clear();
  }

  #remove(digest: string): void {
    const entry = this.#keys.get(digest);
    if (!entry) return;
    this.#keys.delete(digest);
    const digests = this.#digests.get(entry.key.id);
    digests?.delete(digest);
    if (digests?.size === 0) this.#digests.delete(entry.key.id);
  }
}
