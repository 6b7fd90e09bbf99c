import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes, randomUUID } from 'node:crypto';
import { freeze, revokeKeys, unfreeze } from '../../src/operator/freezing.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { anAct } from '../support/operator.ts';
import { until } from '../support/until.ts';

const AT_ONCE = 24;
const CONTACT = 'help@pura.example';
const CHAT = { model: 'demo-cheap', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] };

let gateway: TestGateway;
let other: TestGateway;
beforeAll(async () => {
  const env = { CONTACT, WITHDRAWALS: 'true' };
  gateway = await startGateway({ env });
  other = await startGateway({ env, database: gateway.database });
});
afterAll(async () => {
  await other.close();
  await gateway.close();
});

const freezeNow = ({ accountId }: TestKey) => freeze(gateway.pool, { ...anAct(), accountId });

async function refusal(answer: Response): Promise<unknown[]> {
  const { error } = (await answer.json()) as { error: { code: string; message: string } };
  return [answer.status, error.code, error.message];
}
const FROZEN = [403, 'not_permitted', `The operator has paused this account. Your balance is kept. Contact: ${CONTACT}`];

describe('a frozen account', () => {
  it.each<[what: string, path: string, body: () => unknown]>([
    ['requests', '/v1/chat/completions', () => CHAT],
    ['streams', '/v1/chat/completions', () => ({ ...CHAT, stream: true })],
    ['keys', '/api/keys', () => ({})],
    ['invoices', '/api/wallet/fund', () => ({ amount: 1000 })],
    ['withdrawals', '/api/wallet/withdraw', () => ({ paymentRequest: foreignInvoice().paymentRequest })],
  ])('is refused %s with a sentence, by every gateway, and goes on afterwards', async (_, path, body) => {
    const headers = () => ({ 'idempotency-key': randomUUID() });
    const key = await gateway.newKey();
    await gateway.fund(key, 2000);
    // Both know the key as it was.
    for (const each of [gateway, other]) expect((await each.post('/v1/chat/completions', CHAT, key)).status).toBe(200);
    await freezeNow(key);
    for (const each of [gateway, other]) expect(await refusal(await each.post(path, body(), key, headers()))).toEqual(FROZEN);
    await unfreeze(gateway.pool, { ...anAct(), accountId: key.accountId });
    // The other gateway hears of it a moment later.
    for (const each of [gateway, other]) await until(async () => (await each.post(path, body(), key, headers())).ok);
  });

  it('reads its figures, and is credited what was paid', async () => {
    const key = await gateway.newKey();
    const { paymentRequest, invoiceId } = (await (await gateway.post('/api/wallet/fund', { amount: 500 }, key)).json()) as Record<
      string,
      string
    >;
    await freezeNow(key);
    await gateway.pay(String(paymentRequest));
    expect(await (await gateway.get(`/api/wallet/status?invoiceId=${invoiceId}`, key)).json()).toMatchObject({ status: 'paid' });
    expect(await (await gateway.get('/api/wallet/balance', key)).json()).toMatchObject({ balance: 500 });
  });

  it('stays frozen when it is frozen again, and goes on once however often it is let go on', async () => {
    const key = await gateway.newKey();
    await freezeNow(key);
    expect((await freezeNow(key)).details).toEqual({ already: true });
    const acts = [1, 2].map(() => unfreeze(gateway.pool, { ...anAct(), accountId: key.accountId }));
    expect((await Promise.all(acts)).filter(({ details }) => details['already'] === true)).toHaveLength(1);
    expect((await gateway.post('/v1/chat/completions', CHAT, key)).status).toBe(200);
  });

  it('must be there', async () => {
    await expect(freeze(gateway.pool, { ...anAct(), accountId: randomUUID() })).rejects.toMatchObject({ code: 'not_found' });
  });
});

it('is decided in the admission: of many requests at once, none begins after the freeze', async () => {
  const key = await gateway.newKey();
  await gateway.fund(key, 100_000);
  let frozen = false;
  const answers: [boolean, number][] = [];
  const send = async (each: TestGateway) => {
    for (let count = 0; count < 6; count++) {
      const after = frozen;
      const answer = await each.post('/v1/chat/completions', CHAT, key);
      await answer.arrayBuffer();
      answers.push([after, answer.status]);
    }
  };
  const sending = Promise.all(Array.from({ length: AT_ONCE }, (_, index) => send(index % 2 === 0 ? gateway : other)));
  while (answers.length < AT_ONCE) await new Promise(setImmediate);
  const act = await freezeNow(key);
  frozen = true;
  await sending;
  expect(answers.filter(([after, status]) => after && status !== 403)).toEqual([]);
  expect(answers.some(([, status]) => status === 200)).toBe(true);
  expect(answers.some(([after]) => after)).toBe(true);
  const { rows } = await gateway.pool.query(
    `select request_id from holds h where account_id = $1 and created_at > (select frozen_at from accounts where id = $1)`,
    [key.accountId],
  );
  expect(rows).toEqual([]);
  expect(act.details).toEqual({ keys: 1 });
  expect(await gateway.audit()).toEqual([]);
});

it('revokes all keys of an account, whatever it has, and leaves the ledger sound', async () => {
  const key = await gateway.newKey();
  await gateway.fund(key, 10);
  const second = (await (await gateway.post('/api/keys', {}, key)).json()) as { key: string };
  await freezeNow(key);
  expect((await revokeKeys(gateway.pool, { ...anAct(), accountId: key.accountId })).details).toEqual({ keys: 2 });
  for (const secret of [key.secret, second.key]) {
    await until(async () => (await gateway.get('/api/wallet/balance', { ...key, secret })).status === 401);
  }
  expect(await gateway.audit()).toEqual([]);
});

it('a key of nobody is refused as ever', async () => {
  const nobody = { id: '', accountId: '', secret: `pura_${randomBytes(16).toString('hex')}` };
  expect((await gateway.post('/v1/chat/completions', CHAT, nobody)).status).toBe(401);
});
