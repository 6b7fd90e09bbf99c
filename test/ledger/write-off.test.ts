import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { depositNetwork, UnderWayError, writeOff } from '../../src/ledger/write-off.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startGateway } from '../support/gateway.ts';
import { addPayer, admission, auditOf, deposit, openLedger, type Payer } from '../support/holds.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase();
});

afterEach(() => database.drop());

describe('a write-off', () => {
  it('takes every balance, leaves a sound ledger, and makes room for another network', async () => {
    const rich = await addPayer(database.pool, { balanceMsat: 5_000n });
    await addPayer(database.pool);
    expect(await depositNetwork(database.pool)).toBe('simulated');
    expect(await writeOff(database.pool, 'simulated')).toEqual({ accounts: 1, writtenOffMsat: 5_000n });
    expect(await depositNetwork(database.pool)).toBeNull();
    expect(await auditOf(database.pool)).toEqual([]);
    const { rows } = await database.pool.query('select posted_msat from accounts where id = $1', [rich.accountId]);
    expect(rows).toEqual([{ posted_msat: 0n }]);
    expect(await writeOff(database.pool, 'simulated')).toEqual({ accounts: 0, writtenOffMsat: 0n });
  });

  it('takes what came after the one before it', async () => {
    const payer = await addPayer(database.pool, { balanceMsat: 5_000n });
    await writeOff(database.pool, 'simulated');
    await deposit(database.pool, payer.accountId, 7n);
    expect(await depositNetwork(database.pool)).toBe('simulated');
    expect(await writeOff(database.pool, 'simulated')).toEqual({ accounts: 1, writtenOffMsat: 7n });
    expect(await auditOf(database.pool)).toEqual([]);
  });

  it('takes a balance once, however many are at it at once', async () => {
    await addPayer(database.pool, { balanceMsat: 5_000n });
    const done = await Promise.all(Array.from({ length: 6 }, () => writeOff(database.pool, 'simulated')));
    expect(done.map(({ writtenOffMsat }) => writtenOffMsat).filter((amount) => amount > 0n)).toEqual([5_000n]);
    expect(await auditOf(database.pool)).toEqual([]);
  });

  it.each([
    ['a request is under way', { balanceMsat: 5_000n }],
    ['a free request is under way, which holds nothing', { balanceMsat: 5_000n, freeLimit: 1 }],
  ])('takes nothing while %s', async (_what, settings) => {
    const ledger = openLedger(database);
    const payer = await addPayer(database.pool, settings);
    expect((await ledger.holds.admit(admission(payer))).verdict).toBe('admitted');
    await expect(writeOff(database.pool, 'simulated')).rejects.toBeInstanceOf(UnderWayError);
    expect(await depositNetwork(database.pool)).toBe('simulated');
    expect(await auditOf(database.pool)).toEqual([]);
    await ledger.close();
  });
});

describe('the network of the balances', () => {
  const credit = (network: string) => deposit(database.pool, payer.accountId, 5n, network);
  let payer: Payer;

  beforeEach(async () => {
    payer = await addPayer(database.pool);
  });

  it('is that of the first deposit, of however many at once from however many networks, and no other is credited', async () => {
    const networks = ['simulated', 'regtest', 'testnet', 'mainnet'];
    const credits = await Promise.allSettled(Array.from({ length: 24 }, (_, index) => credit(networks[index % 4] ?? '')));
    const known = await depositNetwork(database.pool);
    expect(credits.map(({ status }) => status)).toEqual(
      credits.map((_, index) => (networks[index % 4] === known ? 'fulfilled' : 'rejected')),
    );
    const { rows } = await database.pool.query<{ network: string }>('select network from invoices');
    expect(rows.map(({ network }) => network)).toEqual(Array(6).fill(known));
    expect(await auditOf(database.pool)).toEqual([]);
  });

  it('is what a write-off goes by: it books no other away, and takes the network with the balances', async () => {
    await credit('mainnet');
    await expect(writeOff(database.pool, 'simulated')).rejects.toThrow(/of mainnet/);
    expect(await depositNetwork(database.pool)).toBe('mainnet');
    expect(await writeOff(database.pool, 'mainnet')).toEqual({ accounts: 1, writtenOffMsat: 5n });
    await credit('regtest');
    expect(await depositNetwork(database.pool)).toBe('regtest');
    expect(await auditOf(database.pool)).toEqual([]);
  });

  it('is not lost while a write-off and deposits are at it at once', async () => {
    await credit('simulated');
    const either = ['simulated', 'regtest'];
    await Promise.allSettled([
      ...Array.from({ length: 10 }, (_, index) => credit(either[index % 2] ?? '')),
      writeOff(database.pool, 'simulated'),
      ...Array.from({ length: 10 }, (_, index) => credit(either[index % 2] ?? '')),
    ]);
    const { rows } = await database.pool.query<{ networks: string[] }>(
      `select array_agg(distinct network) as networks from invoices where credited_at > coalesce((select max(created_at) from write_offs), '-infinity')`,
    );
    const known = await depositNetwork(database.pool);
    expect(rows[0]?.networks ?? []).toEqual(known === null ? [] : [known]);
    expect(await auditOf(database.pool)).toEqual([]);
  });
});

describe('a gateway', () => {
  it('does not start on balances of another network, until they are written off', async () => {
    await addPayer(database.pool, { balanceMsat: 5_000n });
    await database.pool.query(`update ledger_network set network = 'regtest'`);
    await expect(startGateway({ database })).rejects.toThrow(/came from regtest.*simulated.*npm run write-off/);
    await writeOff(database.pool, 'regtest');
    const gateway = await startGateway({ database });
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
  });
});
