import { z } from 'zod';
import { json, jsonBody, type Operation } from '../server/operation.ts';
import { aMoment, sats } from '../server/described-values.ts';
import { autopayBody } from './autopay.ts';

const lastAttempt = z.strictObject({
  startedAt: aMoment,
  amountSats: sats,
  outcome: z.enum(['pending', 'paid', 'unpaid']).meta({ description: "By the gateway's own node, whatever the wallet says." }),
  reason: z.string().nullable().meta({ description: 'What the wallet said, in words.' }),
});

const stored = z.strictObject({
  state: z.enum(['on', 'waiting', 'paused', 'stopped']).meta({
    description:
      '`waiting` goes on by itself at `nextTryAt`; `paused` once somebody sets it going; `stopped` once a connection is stored anew.',
  }),
  wallet: z
    .strictObject({ name: z.string().nullable(), relays: z.array(z.string()) })
    .meta({ description: 'The connection itself is never shown.' }),
  thresholdSats: sats,
  topupSats: sats,
  dailyLimitSats: sats.meta({ description: 'Of a UTC day.' }),
  spentTodaySats: sats.meta({ description: 'What was paid today, and what may still be.' }),
  reason: z.string().nullable().meta({ description: 'Why it does not go on, in words.' }),
  nextTryAt: aMoment.nullable(),
  lastAttempt: lastAttempt.nullable(),
});

const autopay = z.union([z.strictObject({ state: z.literal('off') }), stored]).meta({ id: 'Autopay' });

const shared = { path: '/api/wallet/autopay', asker: 'owner', tag: 'Wallet' } as const;

/** The operations on `/api/wallet/autopay`. */
export const AUTOPAY_OPERATIONS = {
  store: {
    ...shared,
    id: 'storeAutopay',
    method: 'put',
    summary: "Have the owner's own wallet top the account up when its balance is low",
    description:
      'The wallet is asked what it may do; nothing is paid. Without `nwcUrl` the connection of before stays. Autopay goes on at once, unless `paused` is true.',
    body: jsonBody(autopayBody, {
      nwcUrl: 'nostr+walletconnect://…?relay=wss://…&secret=…',
      thresholdSats: 1_000,
      topupSats: 5_000,
      dailyLimitSats: 20_000,
    }),
    answers: { 200: json('Autopay as it stands now.', autopay) },
    errors: ['rate_limit_exceeded'],
  },
  show: {
    ...shared,
    id: 'getAutopay',
    method: 'get',
    summary: 'How autopay stands',
    answers: { 200: json('Autopay as it stands.', autopay) },
    errors: [],
  },
  remove: {
    ...shared,
    id: 'removeAutopay',
    method: 'delete',
    summary: 'Forget the wallet connection',
    description: 'A payment that is under way is credited all the same.',
    answers: { 204: { description: 'It is forgotten.' } },
    errors: [],
  },
} as const satisfies Record<string, Operation>;
