import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { AccountChanges } from '../../src/accounts/account-changes.ts';
import type { ActingKey } from '../../src/accounts/acting-key.ts';
import { msat } from '../../src/amount.ts';
import { createNotifications, type Notifications } from '../../src/db/notify.ts';
import { readPaymentRequest } from '../../src/lightning/payment-request.ts';
import { adjust } from '../../src/operator/adjusting.ts';
import { Withdrawals } from '../../src/withdrawals/withdrawals.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { addOwner, deposit } from '../support/funded.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
let notifications: Notifications;
let changes: AccountChanges;
let withdrawals: Withdrawals;
beforeAll(async () => {
  database = await createTestDatabase();
  notifications = createNotifications(database.connectionString);
  changes = new AccountChanges(notifications);
  withdrawals = new Withdrawals(database.pool, { backend: 'lnd', nodeId: '02fake', network: 'regtest' });
  await until(() => notifications.connected);
});
afterAll(async () => {
  changes.close();
  await notifications.close();
  await database.drop();
});

/** Holds the money of a withdrawal; gives its id. */
async function reserve(owner: ActingKey): Promise<string> {
  const request = readPaymentRequest(foreignInvoice({ amountMsat: 100_000n }).paymentRequest, 'regtest');
  const wanted = { owner, request, feeLimitMsat: msat(1_000n), idempotencyKey: randomUUID() };
  const { withdrawal } = await withdrawals.reserve({ ...wanted, bodySha256: createHash('sha256').update(request.bolt11).digest() });
  return withdrawal.id;
}

/** What moves an account's money besides payments and charges, after what stands before it. */
const ACTS: [string, (owner: ActingKey) => Promise<() => Promise<unknown>>][] = [
  ['a withdrawal that begins', async (owner) => () => reserve(owner)],
  [
    'a withdrawal that is paid',
    async (owner) => {
      const id = await reserve(owner);
      await withdrawals.claim(id, 30);
      return () => withdrawals.paid(id, msat(7n));
    },
  ],
  [
    'a withdrawal that fails',
    async (owner) => {
      const id = await reserve(owner);
      return () => withdrawals.failed(id, 'creating', 'not_sent');
    },
  ],
  [
    'a withdrawal that the operator ends',
    async (owner) => {
      const id = await reserve(owner);
      return () => withdrawals.decided(id, { paid: undefined });
    },
  ],
  [
    'a balance that the operator changes',
    async ({ accountId }) =>
      () =>
        adjust(database.pool, {
          ...{ accountId, changeMsat: msat(5_000n), network: 'regtest', by: { name: 'ann', network: '127.0.0.0/24' }, reason: 'goodwill' },
          id: randomUUID(),
        }),
  ],
];

it.each(ACTS)('those who look on are told at once of %s, and of nobody else', async (_what, prepare) => {
  const [owner, stranger] = [await addOwner(database.pool), await addOwner(database.pool)];
  await deposit(database, owner, 1_000);
  const act = await prepare(owner);
  // What was told before is over once a message that was sent later has come.
  let settled = false;
  const stopBefore = changes.subscribe(stranger.accountId, () => (settled = true));
  await notifications.notify('account', stranger.accountId);
  await until(() => settled);
  let [told, others] = [0, 0];
  const stops = [changes.subscribe(owner.accountId, () => told++), changes.subscribe(stranger.accountId, () => others++), stopBefore];
  await act();
  await until(() => told > 0);
  expect([told, others]).toEqual([1, 0]);
  for (const stop of stops) stop();
});
