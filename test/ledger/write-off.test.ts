import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { depositNetwork, UnderWayError, writeOff } from '../../src/ledger/write-off.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startGateway } from '../support/gateway.ts';
import { addPayer, admission, auditOf, deposit, openLedger } from '../support/holds.ts';

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

  it('takes nothing while a request is under way', async () => {
    const ledger = openLedger(database);
    const payer = await addPayer(database.pool, { balanceMsat: 5_000n });
    await ledger.holds.admit(admission(payer));
    await expect(writeOff(database.pool, 'simulated')).rejects.toBeInstanceOf(UnderWayError);
    expect(await depositNetwork(database.pool)).toBe('simulated');
    expect(await auditOf(database.pool)).toEqual([]);
    await ledger.close();
  });
});

describe('a gateway', () => {
  it('does not start on balances of another network, until they are written off', async () => {
    await addPayer(database.pool, { balanceMsat: 5_000n });
    await database.pool.query(`update invoices set network = 'regtest'`);
    await expect(startGateway({ database })).rejects.toThrow(/came from regtest.*simulated.*npm run write-off/);
    await writeOff(database.pool, 'regtest');
    const gateway = await startGateway({ database });
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
  });
});
