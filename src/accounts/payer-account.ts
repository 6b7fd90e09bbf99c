import { randomBytes } from 'node:crypto';
import type { PoolClient } from '../db/postgres.ts';
import type { PicoUsd } from '../amount.ts';
import { insertAccount } from './account.ts';
import { TOKEN_ROWS } from './older-secrets.ts';

/** In place of a secret's first characters: a payer's first key row has a payment's token and no secret. */
export const PAYER_KEY_PREFIX = 'l402';

/**
 * Makes an account for a payer who had none, in the caller's transaction, and returns its id. The account has
 * no free requests. Its first key is an owner key, as with every account: the row that the payment's token
 * names.
 */
export async function insertPayerAccount(
  client: PoolClient,
  { keyId, dailyBudgetPicoUsd }: { keyId: string; dailyBudgetPicoUsd: PicoUsd },
): Promise<string> {
  const accountId = await insertAccount(client, 0);
  // No secret has this hash. Until the owner rotates the key, only the token can use this row.
  await client.query(
    `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, daily_budget_pico_usd) values ($1, $2, $3, $4, $5, 'owner', $6)`,
    [keyId, accountId, randomBytes(32), TOKEN_ROWS, PAYER_KEY_PREFIX, dailyBudgetPicoUsd],
  );
  return accountId;
}
