import { randomBytes } from 'node:crypto';
import type { PoolClient } from '../db/postgres.ts';
import type { PicoUsd } from '../amount.ts';
import { insertAccount } from './account.ts';
import { TOKEN_ROWS } from './older-secrets.ts';

/** Stands where other keys have their secret's first characters: a payer's first key row has no secret, but a payment's token. */
export const PAYER_KEY_PREFIX = 'l402';

/**
 * Makes the account of somebody who paid without having one, in the caller's transaction, and gives its id: no free requests, and the
 * key row that the payment's token names. That is its owner's, as every account's first key is.
 */
export async function insertPayerAccount(
  client: PoolClient,
  { keyId, dailyBudgetPicoUsd }: { keyId: string; dailyBudgetPicoUsd: PicoUsd },
): Promise<string> {
  const accountId = await insertAccount(client, 0);
  // No secret has this hash: the row can be used by its token alone, until its owner rotates it.
  await client.query(
    `insert into api_keys (id, account_id, secret_hash, secret_id, prefix, role, daily_budget_pico_usd) values ($1, $2, $3, $4, $5, 'owner', $6)`,
    [keyId, accountId, randomBytes(32), TOKEN_ROWS, PAYER_KEY_PREFIX, dailyBudgetPicoUsd],
  );
  return accountId;
}
