import type { ApiKeys } from '../accounts/api-keys.ts';

/** Names the keys of an account: by label, else by prefix. Each call looks up those that are not known yet, all at once. */
export function keyNames(
  apiKeys: Pick<ApiKeys, 'named'>,
  accountId: string,
): (keyIds: readonly (string | null)[]) => Promise<Map<string, string>> {
  const names = new Map<string, string>();
  return async (keyIds) => {
    const unknown = [...new Set(keyIds)].filter((id) => id !== null && !names.has(id)) as string[];
    const found = unknown.length > 0 ? await apiKeys.named(accountId, unknown) : [];
    for (const [id, { label, prefix }] of found) names.set(id, label ?? prefix);
    return names;
  };
}
