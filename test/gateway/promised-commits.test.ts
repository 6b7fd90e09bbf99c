import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startGateway({ env: { WITHDRAWALS: 'true' } });
  await gateway.pool.query(`
    create table commits (what text, mode text);
    create function note_commit() returns trigger language plpgsql as $$
    begin
      insert into commits values (tg_argv[0], current_setting('synchronous_commit'));
      return null;
    end $$;
    create trigger t after insert on transfers for each row when (new.kind = 'deposit') execute function note_commit('credit');
    create trigger s after update on withdrawals for each row when (new.state = 'sent' and old.state = 'creating') execute function note_commit('sent');
    create trigger p after update on withdrawals for each row when (new.state = 'paid') execute function note_commit('paid');
    create trigger r after update on api_keys for each row when (new.revoked_at is not null) execute function note_commit('revoked');
    create trigger o after update on api_keys for each row when (new.prefix <> old.prefix) execute function note_commit('rotated')`);
});
afterAll(async () => {
  await gateway.close();
});

it('waits for the synchronous standby with what the world outside relies on, however the server is set', async () => {
  const database = new URL(gateway.database.connectionString).pathname.slice(1);
  await gateway.pool.query(`alter database ${database} set synchronous_commit = off`);
  const key = await gateway.newKey();
  await gateway.fund(key, 1_000);
  const { paymentRequest } = foreignInvoice({ amountMsat: 10_000n });
  const withdrawn = await gateway.post('/api/wallet/withdraw', { paymentRequest }, key, { 'idempotency-key': randomUUID() });
  expect(await withdrawn.json()).toMatchObject({ status: 'paid' });
  const other = (await (await gateway.post('/api/keys', {}, key)).json()) as { id: string };
  expect((await gateway.post(`/api/keys/${other.id}/rotate`, {}, key)).status).toBe(200);
  const headers = { authorization: `Bearer ${key.secret}` };
  expect((await fetch(`${gateway.url}/api/keys/${other.id}`, { method: 'DELETE', headers })).status).toBe(204);

  const { rows } = await gateway.pool.query(`select * from commits order by what`);
  expect(rows).toEqual(['credit', 'paid', 'revoked', 'rotated', 'sent'].map((what) => ({ what, mode: 'remote_apply' })));
});
