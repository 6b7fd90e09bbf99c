import { z } from 'zod';
import { json, jsonBody, type Operation } from '../server/operation.ts';
import { aMoment, anId, count, nextCursor, usd } from '../server/described-values.ts';
import { keysQuery } from './report-queries.ts';
import { keyBody } from './keys.ts';

const settings = {
  prefix: z.string().meta({ description: 'How the key begins: what to recognise it by.', example: 'pura_Xhcd9Q' }),
  label: z.string().nullable(),
  accountId: anId,
  createdAt: aMoment,
  dailyBudgetUsd: usd.meta({ description: 'What the key may cost in a UTC day, in USD.', example: 10 }),
  freeRequestsRemaining: count.meta({ description: 'Of the whole account.', example: 5000 }),
};
const secret = z.string().meta({ description: 'The secret. It is shown this once.', example: 'pura_Xhcd9Q…' });

/** What the making of a key answers. */
export const createdKey = z.strictObject({ id: anId, key: secret, ...settings, message: z.string() }).meta({ id: 'CreatedKey' });

/** A key as lists show it: never with its secret. */
export const keyRow = z
  .strictObject({
    id: anId,
    ...settings,
    role: z.enum(['owner', 'inference']).meta({ description: 'Owners manage keys, withdraw, and see the figures of all keys.' }),
    rateLimitRpm: count.nullable().meta({ description: "Requests a minute; null: the gateway's own limit." }),
    rateLimitTpm: count.nullable().meta({ description: "Tokens a minute; null: the gateway's own limit." }),
    allowedModels: z.array(z.string()).nullable().meta({ description: 'Null: all models.' }),
    expiresAt: aMoment.nullable(),
    revokedAt: aMoment.nullable(),
    lastUsedAt: aMoment.nullable(),
  })
  .meta({ id: 'Key' });

const keyIdParam = z.object({ id: anId.meta({ description: "The key's id." }) });
const EXAMPLE = { label: 'laptop', dailyBudgetUsd: 2 };

/** The operations on `/api/keys`. */
export const KEY_OPERATIONS = {
  create: {
    id: 'createKey',
    method: 'post',
    path: '/api/keys',
    asker: 'anybody',
    tag: 'Keys',
    summary: 'Make a key: a new account without a credential, another key of the account with one',
    description:
      "Nobody has to sign up. Without a credential, a new account is made with its free requests, and the key is its owner's. With an owner's key, or with a paid 402's token, the new key belongs to that account.",
    body: jsonBody(keyBody, EXAMPLE),
    answers: { 201: json('The key, with its secret: this once.', createdKey) },
    errors: [
      'invalid_api_key',
      'not_permitted',
      'last_owner_key',
      'rate_limit_exceeded',
      'free_tier_exceeded',
      'insufficient_balance',
      'lightning_unavailable',
    ],
  },
  list: {
    id: 'listKeys',
    method: 'get',
    path: '/api/keys',
    asker: 'key',
    tag: 'Keys',
    summary: "List the account's keys, never their secrets",
    description: 'An owner sees all keys of the account, oldest first; any other key sees itself.',
    query: keysQuery,
    answers: { 200: json('The keys.', z.strictObject({ keys: z.array(keyRow.extend({ todaySpendUsd: usd })), nextCursor })) },
    errors: ['key_not_found'],
  },
  change: {
    id: 'changeKey',
    method: 'patch',
    path: '/api/keys/:id',
    asker: 'owner',
    tag: 'Keys',
    summary: "Change a key's label, limits, models, expiry or role",
    params: keyIdParam,
    body: jsonBody(keyBody, EXAMPLE),
    answers: { 200: json('The key as it is now.', keyRow) },
    errors: ['key_not_found', 'last_owner_key'],
  },
  revoke: {
    id: 'revokeKey',
    method: 'delete',
    path: '/api/keys/:id',
    asker: 'owner',
    tag: 'Keys',
    summary: 'Revoke a key: it stops working at once',
    params: keyIdParam,
    answers: { 204: { description: 'It is revoked.' } },
    errors: ['key_not_found', 'last_owner_key'],
  },
  rotate: {
    id: 'rotateKey',
    method: 'post',
    path: '/api/keys/:id/rotate',
    asker: 'owner',
    tag: 'Keys',
    summary: "Replace a key's secret: the old one stops working at once",
    params: keyIdParam,
    answers: { 200: json('The key, with its new secret: this once.', keyRow.extend({ key: secret }).meta({ id: 'RotatedKey' })) },
    errors: ['key_not_found'],
  },
} as const satisfies Record<string, Operation>;
