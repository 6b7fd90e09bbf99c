import { createHmac } from 'node:crypto';
import type { ApiKey } from '../accounts/api-key.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import { deriveKey } from '../secrets.ts';

/** What stands for accounts wherever a provider is told of an end user. */
export class EndUsers {
  readonly #roots: readonly RootSecret[];
  readonly #hashes = new WeakMap<ApiKey, string>();

  constructor(roots: readonly RootSecret[]) {
    this.#roots = roots;
  }

  /** The same for all keys of an account, and of no meaning to anybody else. */
  hashOf(key: ApiKey): string {
    let accountHash = this.#hashes.get(key);
    const root = this.#roots[0];
    if (accountHash === undefined && root) {
      accountHash = createHmac('sha256', deriveKey(root, 'end-user')).update(key.accountId).digest('base64url');
      this.#hashes.set(key, accountHash);
    }
    return accountHash ?? '';
  }
}
