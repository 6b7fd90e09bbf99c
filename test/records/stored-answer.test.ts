import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  idempotencyKeyOf,
  lookUpAnswer,
  ANSWER_BYTES_A_DAY,
  FREE_ANSWER_BYTES_A_DAY,
  MAX_STORED_BYTES,
  type EarlierAnswer,
  type IdempotencyKey,
  type Repeatable,
  type StoredAnswer,
} from '../../src/records/stored-answer.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addAccount, TEST_ROOT } from '../support/funded.ts';

const NEW_ROOT = { id: '1', secret: Buffer.alloc(32, 9) };
const ANSWER: StoredAnswer = {
  status: 200,
  headers: { 'X-Pura-Model': 'm' },
  stream: false,
  body: Buffer.from('{"content":"grüße"}'),
  lastBytes: 0,
};
const SHA = Buffer.alloc(32, 1);

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});

afterAll(() => database.drop());

const keyOf = (value: string, sha = SHA): IdempotencyKey => idempotencyKeyOf(value, '/v1/chat/completions', sha) as IdempotencyKey;
const lookUp = (accountId: string, idempotency = keyOf('k'), roots = [TEST_ROOT]) =>
  lookUpAnswer(database.pool, roots, accountId, idempotency);

/** The answer that a repeat gets. */
const take = async (...of: Parameters<typeof lookUp>) => ((await lookUp(...of)) as EarlierAnswer).take(database.pool);

/** Stores an answer under a key as the ledger does: `running` first, then `done`. */
async function store(
  accountId: string,
  answer: Buffer | null,
  state = answer ? 'done' : 'interrupted',
  idempotency = keyOf('k'),
): Promise<string> {
  const requestId = randomUUID();
  await database.pool.query(
    `insert into idempotency (account_id, path, key, body_sha256, request_id, state, answer, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, now() + interval '1 day')`,
    [accountId, idempotency.path, idempotency.key, idempotency.bodySha256, requestId, state, answer],
  );
  return requestId;
}

async function sealed(accountId: string, answer = ANSWER, roots = [TEST_ROOT]): Promise<Buffer | undefined> {
  return ((await lookUp(accountId, keyOf('k'), roots)) as Repeatable).keeping(false)?.seal(answer);
}

describe('idempotencyKeyOf', () => {
  it.each([undefined])('is null for a request without one', (value) => {
    expect(idempotencyKeyOf(value, '/p', SHA)).toBeNull();
  });

  it.each(['a', 'x'.repeat(255), 'with blank ~!'])('takes %j, and keeps none of its text', (value) => {
    const key = idempotencyKeyOf(value, '/p', SHA);
    expect(key).toMatchObject({ path: '/p', bodySha256: SHA, key: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  it.each([[''], ['x'.repeat(256)], ['tab\t'], ['grüße'], [['a', 'b']]])('refuses %j', (value) => {
    expect(() => idempotencyKeyOf(value, '/p', SHA)).toThrow('Idempotency-Key must be 1 to 255 printable ASCII characters.');
  });
});

describe('lookUpAnswer', () => {
  it('gives a stored answer back as it was, under its own id', async () => {
    const accountId = await addAccount(database.pool);
    const bytes = (await sealed(accountId)) ?? null;
    expect(bytes?.includes('content')).toBe(false);
    const requestId = await store(accountId, bytes);
    expect(await take(accountId)).toMatchObject({ answer: ANSWER, requestId });
  });

  it('goes on reading answers that an older secret sealed', async () => {
    const accountId = await addAccount(database.pool);
    await store(accountId, (await sealed(accountId)) ?? null);
    expect(await take(accountId, keyOf('k'), [NEW_ROOT, TEST_ROOT])).toMatchObject({ answer: ANSWER });
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['was changed', (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.of((bytes.at(-1) ?? 0) ^ 1)])],
    ['was cut', (bytes) => bytes.subarray(0, 20)],
    ['is of a secret that is gone', (bytes) => Buffer.concat([Buffer.of(77), bytes.subarray(1)])],
  ])('calls an answer that %s interrupted', async (_name, spoil) => {
    const accountId = await addAccount(database.pool);
    await store(accountId, spoil((await sealed(accountId)) ?? Buffer.alloc(0)));
    await expect(take(accountId)).rejects.toMatchObject({ code: 'idempotency_interrupted' });
  });

  it('cannot read the answer of another account', async () => {
    const [one, other] = [await addAccount(database.pool), await addAccount(database.pool)];
    await store(other, (await sealed(one)) ?? null);
    await expect(take(other)).rejects.toMatchObject({ code: 'idempotency_interrupted' });
  });

  it('keeps answers up to its limit, and none above', async () => {
    const accountId = await addAccount(database.pool);
    expect(await sealed(accountId, { ...ANSWER, body: Buffer.alloc(MAX_STORED_BYTES) })).toBeDefined();
    expect(await sealed(accountId, { ...ANSWER, body: Buffer.alloc(MAX_STORED_BYTES + 1) })).toBeUndefined();
  });

  it.each([
    ['paid for', false, 'answer_bytes', ANSWER_BYTES_A_DAY],
    ['free', true, 'free_answer_bytes', FREE_ANSWER_BYTES_A_DAY],
  ])('seals answers that were %s as far as their day may have room', async (_what, isFree, column, mostBytes) => {
    const accountId = await addAccount(database.pool);
    const keeping = async () => ((await lookUp(accountId)) as Repeatable).keeping(isFree);
    expect((await keeping())?.mostBytes).toBe(Math.min(MAX_STORED_BYTES, mostBytes));
    const stored = (bytes: number) =>
      database.pool.query(`update accounts set answer_day = (now() at time zone 'utc')::date, ${column} = $2 where id = $1`, [
        accountId,
        bytes,
      ]);
    await stored(mostBytes - 10);
    const left = await keeping();
    expect(left?.mostBytes).toBe(10);
    expect(left?.seal({ ...ANSWER, body: Buffer.alloc(10) })).toBeDefined();
    expect(left?.seal({ ...ANSWER, body: Buffer.alloc(11) })).toBeUndefined();
    expect(((await lookUp(accountId)) as Repeatable).keeping(!isFree)?.mostBytes).toBeGreaterThan(10);
    await stored(mostBytes);
    expect(await keeping()).toBeNull();
    await database.pool.query('update accounts set answer_day = answer_day - 1 where id = $1', [accountId]);
    expect((await keeping())?.mostBytes).toBe(Math.min(MAX_STORED_BYTES, mostBytes));
  });

  it('tells another body, a run under way and an answer that was not kept apart', async () => {
    const accountId = await addAccount(database.pool);
    await store(accountId, null, 'running', keyOf('running'));
    const interrupted = await store(accountId, null, 'interrupted', keyOf('interrupted'));
    await expect(lookUp(accountId, keyOf('running', Buffer.alloc(32, 2)))).rejects.toMatchObject({ code: 'idempotency_conflict' });
    await expect(lookUp(accountId, keyOf('running'))).rejects.toMatchObject({ code: 'idempotency_in_progress', detail: { retryAfter: 1 } });
    await expect(lookUp(accountId, keyOf('interrupted'))).rejects.toMatchObject({
      code: 'idempotency_interrupted',
      detail: { fields: { request_id: interrupted, cost_msat: 0 } },
    });
  });

  it('forgets a key after its day, unless its request is still running', async () => {
    const accountId = await addAccount(database.pool);
    await store(accountId, null, 'interrupted', keyOf('old'));
    await store(accountId, null, 'running', keyOf('long'));
    await database.pool.query(`update idempotency set expires_at = now() - interval '1 s' where account_id = $1`, [accountId]);
    expect(await lookUp(accountId, keyOf('old', Buffer.alloc(32, 2)))).toHaveProperty('keeping');
    await expect(lookUp(accountId, keyOf('long'))).rejects.toMatchObject({ code: 'idempotency_in_progress' });
  });

  it('does not know an account that does not exist', async () => {
    await expect(lookUp(randomUUID())).rejects.toMatchObject({ code: 'invalid_api_key' });
  });
});
