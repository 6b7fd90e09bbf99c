import { z } from 'zod';
import { keysQuery } from '../api/report-queries.ts';
import { form, page, text, type Operation } from '../server/operation.ts';
import { keyFields } from './key-form.ts';

const ofKey = { params: z.object({ id: z.string().meta({ description: "The key's id." }) }) };
const nonce = z
  .string()
  .optional()
  .meta({ description: 'Of the form as it was shown: the same form makes one key, however often it is sent.' });
const SHOWN = {
  200: text('The page that shows the secret, this once, or that asks for a proof.'),
  401: text('The proof was none.'),
  409: text('The same form was sent before: nothing was made.'),
};

/** The fields of the form that makes a key. */
export const newKeyFields = keyFields.extend({ role: z.enum(['owner', 'inference']).default('inference'), nonce });
/** The fields of the form that makes a successor. */
export const successorFields = z.object({ nonce });
/** The fields of the form that replaces a secret. */
export const rotateFields = z.object({ prefix: z.string().optional().meta({ description: 'The prefix of the secret to be replaced.' }) });

/** The list may be gone through in both directions. */
export const keyListQuery = keysQuery.extend({
  before: keysQuery.shape.cursor.meta({ description: 'From the page that comes after the one wanted.' }),
});

/** The fields of the search. */
export const findFields = z.object({ q: z.string().max(200).default(''), state: keysQuery.shape.state });

const PROOF = { 200: text('The page that asks for a proof.'), 401: text('The proof was none.') };

/** The pages of an account's keys. */
export const KEY_PAGE_OPERATIONS = {
  list: page({
    id: 'showKeys',
    path: '/console/keys',
    summary: "The account's keys",
    query: keyListQuery.extend({ done: z.string().optional() }),
  }),
  find: form({
    id: 'findKeys',
    path: '/console/keys/find',
    summary: 'Search the keys',
    fields: findFields,
  }),
  ask: page({
    id: 'askNewKey',
    path: '/console/keys/new',
    summary: 'The form for another key',
    query: z.object({ label: z.string().optional(), budget: z.string().optional() }),
  }),
  make: form({
    id: 'makeKey',
    path: '/console/keys',
    summary: 'Make another key of the account',
    fields: newKeyFields,
    answers: { ...SHOWN, 400: text('The form with what is wrong.') },
    errors: ['rate_limit_exceeded', 'last_owner_key'],
  }),
  show: page({
    id: 'showKey',
    path: '/console/keys/:id',
    summary: 'One key: what it spent, its limits',
    ...ofKey,
    query: z.object({ done: z.string().optional() }),
    errors: ['key_not_found'],
  }),
  change: form({
    id: 'changeKeyLimits',
    path: '/console/keys/:id',
    summary: "Change a key's limits",
    ...ofKey,
    fields: keyFields,
    answers: { ...PROOF, 400: text('The form with what is wrong.') },
    errors: ['key_not_found', 'last_owner_key'],
  }),
  askSuccessor: page({
    id: 'askSuccessor',
    path: '/console/keys/:id/successor',
    summary: 'What a successor means',
    ...ofKey,
    errors: ['key_not_found'],
  }),
  succeed: form({
    id: 'makeSuccessor',
    path: '/console/keys/:id/successor',
    summary: 'Make a key with the same limits beside it',
    ...ofKey,
    fields: successorFields,
    answers: SHOWN,
    errors: ['key_not_found', 'rate_limit_exceeded'],
  }),
  askRotate: page({
    id: 'askRotate',
    path: '/console/keys/:id/rotate',
    summary: 'What rotating means',
    ...ofKey,
    errors: ['key_not_found'],
  }),
  rotate: form({
    id: 'rotateKeyNow',
    path: '/console/keys/:id/rotate',
    summary: "Replace a key's secret",
    ...ofKey,
    fields: rotateFields,
    answers: SHOWN,
    errors: ['key_not_found', 'rate_limit_exceeded'],
  }),
  askRevoke: page({
    id: 'askRevoke',
    path: '/console/keys/:id/revoke',
    summary: 'What revoking means',
    ...ofKey,
    errors: ['key_not_found'],
  }),
  revoke: form({
    id: 'revokeKeyForGood',
    path: '/console/keys/:id/revoke',
    summary: 'End a key for good',
    ...ofKey,
    answers: PROOF,
    errors: ['key_not_found', 'last_owner_key', 'rate_limit_exceeded'],
  }),
} as const satisfies Record<string, Operation>;
