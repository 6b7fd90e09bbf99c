import { createHash } from 'node:crypto';

/** A cache key of one account's: tenants share the provider's account, and none may aim at another's cache. */
export function tenantCacheKey(accountHash: string, cacheKey: string): string {
  return createHash('sha256').update(`${accountHash}\0${cacheKey}`).digest('base64url');
}
