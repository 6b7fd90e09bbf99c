import type { RequestHandler } from 'express';
import { z } from 'zod';
import { readAccount, type Account } from '../../accounts/account.ts';
import { requireOwner } from '../../accounts/acting-key.ts';
import type { ApiKey } from '../../accounts/api-key.ts';
import { PAYER_KEY_PREFIX } from '../../accounts/payer-account.ts';
import type { ApiKeys, KeyChanges, KeyPage } from '../../accounts/api-keys.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { picoUsd, picoUsdFromUsd, usdNumber } from '../../amount.ts';
import { readBudgetDays } from '../../ledger/balance.ts';
import { listOf } from '../../list-of.ts';
import { principalOf, type Authenticate } from '../payment/authenticate.ts';
import { hasCredential } from '../server/credential.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { keysQuery, readQuery } from './report-queries.ts';
import { readJson } from '../server/json-body.ts';
import { keyId } from './key-id.ts';
import type { KeyMaking } from './key-making.ts';
import { refuseOtherPages, type OwnPageConfig } from '../server/own-site.ts';

export interface KeyRoutesDeps {
  pool: Pool;
  apiKeys: ApiKeys;
  making: KeyMaking;
  authenticate: Authenticate;
  config: Pick<Config, 'FREE_TIER_REQUESTS'> & OwnPageConfig;
}

/** As many as an account may have alive at once, and again as many. */
const KEYS_A_PAGE = 200;
const KEY_ID = /^[0-9a-f-]{36}$/;
const LARGEST_LIMIT = 2_147_483_647;

const line = (longest: number) =>
  z
    .string()
    .min(1)
    .max(longest)
    .regex(/^\P{Cc}*$/u, 'must not hold control characters');
const settings = {
  label: line(200).nullable(),
  dailyBudgetUsd: z.number().min(0).max(1_000_000).transform(picoUsdFromUsd),
  rateLimitRpm: z.int().min(1).max(LARGEST_LIMIT).nullable(),
  rateLimitTpm: z.int().min(1).max(LARGEST_LIMIT).nullable(),
  allowedModels: listOf(line(200), { min: 1, max: 100, of: 'models' }).nullable(),
  expiresAt: z.iso
    .datetime({ offset: true })
    .transform((time) => new Date(time))
    .refine((time) => time.getTime() > Date.now(), 'must be in the future')
    .nullable(),
  role: z.enum(['owner', 'inference']),
};
/** What a key may be made with, or changed to. */
export const keyBody = z.strictObject(settings).partial();

/** The handlers of `/api/keys`: making, listing, changing, revoking and rotating the keys of an account. */
export function keyHandlers({
  pool,
  apiKeys,
  making,
  authenticate,
  config,
}: KeyRoutesDeps): Record<'create' | 'list' | 'change' | 'revoke' | 'rotate', RequestHandler> {
  const account = (id: string): Promise<Account> => readAccount(pool, id, config.FREE_TIER_REQUESTS);

  return {
    /**
     * Without a credential: a new account and its owner key. With an owner's: another key of that account; where that owner is a
     * payment's token, expired or not, an owner key unless told otherwise, so that what was paid does not hang on the token.
     */
    async create(req, res) {
      const owner = hasCredential(req) ? making.countChange(ownerOf((await authenticate(req, { expiredTokens: true })).key)) : null;
      if (!owner) {
        refuseOtherPages(req, config);
        making.refuseNewAccount(req);
      }
      const { role, ...given } = await readJson(req, keyBody);
      if (!owner && role === 'inference') {
        throw new GatewayError('invalid_request', { message: "role: an account's first key is its owner's", param: 'role' });
      }
      const chosen = settingsFrom(given);
      const { key, secret } = owner
        ? await making.newKey(owner, role ?? (owner.prefix === PAYER_KEY_PREFIX ? 'owner' : 'inference'), chosen)
        : await making.newAccount(req, chosen);
      const { freeRequestsRemaining } = await account(key.accountId);
      res
        .status(201)
        .set('Cache-Control', 'no-store')
        .json({
          id: key.id,
          key: secret,
          prefix: key.prefix,
          label: key.label,
          accountId: key.accountId,
          createdAt: key.createdAt.toISOString(),
          dailyBudgetUsd: usdNumber(key.dailyBudgetPicoUsd),
          freeRequestsRemaining,
          message: 'Keep this key: it is shown this once, and cannot be shown again.',
        });
    },

    /** An owner sees all keys of the account, oldest first and in pages, anybody else his own. */
    async list(req, res) {
      const { key } = principalOf(res);
      const { keys, nextCursor } = await keysView({ pool, apiKeys, config }, key, readQuery(keysQuery, req.query));
      res.json({ keys, nextCursor });
    },

    async change(req, res) {
      const owner = ownerOf(principalOf(res).key);
      const changes = settingsFrom(await readJson(req, keyBody));
      const key = await apiKeys.change(owner, keyId(req.params['id']), changes);
      res.json(keyRow(key, await account(key.accountId)));
    },

    async revoke(req, res) {
      await apiKeys.revoke(making.countRevocation(ownerOf(principalOf(res).key)), keyId(req.params['id']));
      res.status(204).end();
    },

    async rotate(req, res) {
      const { key, secret } = await apiKeys.rotate(making.countChange(ownerOf(principalOf(res).key)), keyId(req.params['id']));
      res.set('Cache-Control', 'no-store').json({ ...keyRow(key, await account(key.accountId)), key: secret });
    },
  };
}

/** A page of the keys that a key may see, with what each has used of its budget today. */
export async function keysView(
  { pool, apiKeys, config }: Pick<KeyRoutesDeps, 'pool' | 'apiKeys' | 'config'>,
  key: ApiKey,
  { q, state, limit = KEYS_A_PAGE, cursor, before }: z.output<typeof keysQuery> & { before?: unknown },
) {
  const asked = { state, q: q === '' ? null : q };
  const { keys, first, last } =
    key.role === 'owner'
      ? await pageOfKeys(apiKeys, key.accountId, { ...asked, limit, after: placeOf(cursor), before: placeOf(before) })
      : { keys: [await apiKeys.find(key.accountId, key.id)] };
  const account = await readAccount(pool, key.accountId, config.FREE_TIER_REQUESTS);
  const spent = await readBudgetDays(
    pool,
    keys.map(({ id }) => id),
  );
  return {
    keys: keys.map((each) => ({ ...keyRow(each, account), todaySpendUsd: usdNumber(spent.get(each.id) ?? picoUsd(0n)) })),
    nextCursor: last ? encodeCursor([last.id]) : null,
    previousCursor: first ? encodeCursor([first.id]) : null,
  };
}

function placeOf(cursor: unknown): string | null {
  return decodeCursor(cursor, [KEY_ID])?.[0] ?? null;
}

/** A page of keys: its last one where there are more after it, and its first one where there are more before it. */
async function pageOfKeys(
  apiKeys: ApiKeys,
  accountId: string,
  { after, before, limit, ...asked }: KeyPage,
): Promise<{ keys: ApiKey[]; first?: ApiKey | undefined; last?: ApiKey | undefined }> {
  if (before) {
    const found = await apiKeys.list(accountId, { ...asked, before, limit: limit + 1 });
    const keys = found.slice(-limit);
    if (found.length > limit) return { keys, first: keys[0], last: keys.at(-1) };
    // What is left before it is part of the first page, which is shown whole.
  }
  const found = await apiKeys.list(accountId, { ...asked, after: before ? null : after, limit: limit + 1 });
  const keys = found.slice(0, limit);
  return { keys, first: after && !before ? keys[0] : undefined, last: found.length > limit ? keys.at(-1) : undefined };
}

/** A key that may see and change the whole account. Throws `not_permitted` for any other. */
export function ownerOf(key: ApiKey): ApiKey {
  requireOwner(key);
  return key;
}

/** What `keyBody` read, as the accounts keep it. */
export function settingsFrom({ dailyBudgetUsd, ...rest }: z.infer<typeof keyBody>): KeyChanges {
  return dailyBudgetUsd === undefined ? rest : { ...rest, dailyBudgetPicoUsd: dailyBudgetUsd };
}

function keyRow(key: ApiKey, { freeRequestsRemaining }: Account) {
  return {
    id: key.id,
    prefix: key.prefix,
    label: key.label,
    role: key.role,
    accountId: key.accountId,
    createdAt: key.createdAt.toISOString(),
    dailyBudgetUsd: usdNumber(key.dailyBudgetPicoUsd),
    freeRequestsRemaining,
    rateLimitRpm: key.rateLimitRpm,
    rateLimitTpm: key.rateLimitTpm,
    allowedModels: key.allowedModels,
    expiresAt: key.expiresAt?.toISOString() ?? null,
    revokedAt: key.revokedAt?.toISOString() ?? null,
    lastUsedAt: key.lastUsedAt?.toISOString() ?? null,
  };
}
