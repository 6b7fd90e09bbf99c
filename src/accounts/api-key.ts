import type { PicoUsd } from '../amount.ts';

/** What a key may do: owners manage the account's keys and see all its figures, the others only make requests. */
export type KeyRole = 'owner' | 'inference';

/** A token that its holder restricted, to lend it out. */
export interface Lent {
  /** The caveats that the holder added. Whatever replaces the borrower's token has them too. */
  readonly caveats: readonly string[];
  /** In milliseconds since 1970; `Infinity` if no caveat ends the loan. */
  readonly until: number;
}

/** One API key as stored: never its secret. */
export interface ApiKey {
  readonly id: string;
  readonly accountId: string;
  readonly role: KeyRole;
  readonly label: string | null;
  /** The secret's first characters, for people to recognise it by. */
  readonly prefix: string;
  readonly dailyBudgetPicoUsd: PicoUsd;
  /** Null: the operator's default. */
  readonly rateLimitRpm: number | null;
  readonly rateLimitTpm: number | null;
  /** Null: every model. */
  readonly allowedModels: readonly string[] | null;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly lastUsedAt: Date | null;
  readonly createdAt: Date;
  /** Counts changes: an admission refuses a cached copy of another version. Below 0 while the account is frozen. */
  readonly version: number;
  /** Set if a lent token stands for the key: the token acts without an owner's rights. Never stored. */
  readonly lent?: Lent | undefined;
}

/**
 * The prefix of no key: a linked wallet that acts at the console has an `ApiKey` that stands in for it, with this prefix and the id of the
 * wallet's row.
 */
export const WALLET_PREFIX = 'wallet';

/** Who a request acts for, once authenticated. */
export interface Principal {
  readonly key: ApiKey;
  /** The `Payment-Receipt` of its answer, where the credential asks for one. */
  readonly receipt?: string | undefined;
}

/** The columns of `api_keys` that make an `ApiKey`, for a select list. */
export const API_KEY_COLUMNS = `id, account_id, role, label, prefix, daily_budget_pico_usd, rate_limit_rpm, rate_limit_tpm, allowed_models,
  expires_at, revoked_at, last_used_at, created_at, version`;

/** A row of `API_KEY_COLUMNS`. */
export interface ApiKeyRow {
  id: string;
  account_id: string;
  role: KeyRole;
  label: string | null;
  prefix: string;
  daily_budget_pico_usd: bigint;
  rate_limit_rpm: number | null;
  rate_limit_tpm: number | null;
  allowed_models: string[] | null;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
  created_at: Date;
  version: number;
}

/** The key that a row describes. */
export function apiKeyFromRow(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    accountId: row.account_id,
    role: row.role,
    label: row.label,
    prefix: row.prefix,
    dailyBudgetPicoUsd: row.daily_budget_pico_usd as PicoUsd,
    rateLimitRpm: row.rate_limit_rpm,
    rateLimitTpm: row.rate_limit_tpm,
    allowedModels: row.allowed_models,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    lastUsedAt: row.last_used_at,
    createdAt: row.created_at,
    version: row.version,
  };
}
